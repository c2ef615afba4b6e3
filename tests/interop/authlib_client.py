"""Authlib against a running Haetae, as the native client demo-mobile (RFC 8252).

    authlib_client.py DEMO.JSON

Discovers, signs in through the real pages with a loopback redirect that really listens, verifies the ID
token with the published keys, reserves, refreshes, signs on silently in the same cookie jar, revokes,
signs out, and sees the refusals. Prints one line a step; any surprise is an exception.
"""

import html.parser
import http.server
import json
import sys
import threading
import time
import urllib.parse
import uuid

import httpx
from authlib.integrations.httpx_client import OAuth2Client
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.oidc.core import CodeIDToken

SCOPE = "openid profile email offline_access reservations:read reservations:write"


class Forms(html.parser.HTMLParser):
    """The forms of a page: action and fields."""

    def __init__(self):
        super().__init__()
        self.forms = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append({"action": attributes.get("action", ""), "fields": {}})
        elif tag == "input" and self.forms and attributes.get("name"):
            if attributes.get("type") not in ("checkbox", "radio", "submit"):
                self.forms[-1]["fields"][attributes["name"]] = attributes.get("value") or ""


class Loopback:
    """The app's own listener on a free port: takes one redirect after the other."""

    def __init__(self):
        received = self.received = []
        arrived = self.arrived = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                received.append(self.path)
                arrived.set()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"You may close this window.")

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.uri = f"http://127.0.0.1:{self.server.server_port}/callback"

    def take(self):
        assert self.arrived.wait(10), "no redirect arrived"
        self.arrived.clear()
        return f"http://127.0.0.1:{self.server.server_port}{self.received.pop()}"


def walk(browser, url, loopback, user):
    """Opens url in the browser, signs in where it is asked to, until the loopback address is reached."""
    page = browser.get(url)
    for _ in range(10):
        if str(page.url).startswith(loopback.uri):
            return loopback.take()
        assert page.status_code == 200, (page.status_code, page.url, page.text)
        parser = Forms()
        parser.feed(page.text)
        form = next(form for form in parser.forms if "password" in form["fields"])
        form["fields"].update(username=user["username"], password=user["password"])
        target = urllib.parse.urljoin(str(page.url), form["action"])
        origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(str(page.url)))
        page = browser.post(target, data=form["fields"], headers={"Origin": origin})
    raise AssertionError("the login does not end")


def verified(token, metadata, nonce):
    """The claims of an ID token, checked by Authlib with the published keys."""
    keys = JsonWebKey.import_key_set(httpx.get(metadata["jwks_uri"]).json())
    claims = JsonWebToken(metadata["id_token_signing_alg_values_supported"]).decode(
        token["id_token"],
        keys,
        claims_cls=CodeIDToken,
        claims_options={"iss": {"essential": True, "value": metadata["issuer"]},
                        "aud": {"essential": True, "value": "demo-mobile"}},
        claims_params={"nonce": nonce, "access_token": token["access_token"], "client_id": "demo-mobile"},
    )
    claims.validate(leeway=5)
    return claims


def soon(what, check):
    """Within two seconds."""
    for _ in range(200):
        if check():
            return
        time.sleep(0.01)
    raise AssertionError(what)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        demo = json.load(file)
    user = next(user for user in demo["users"] if user["username"] == "demo")
    public = demo["public_url"].rstrip("/")
    metadata = httpx.get(f"{public}/.well-known/openid-configuration").json()
    assert metadata["issuer"] == public, metadata["issuer"]
    print("discovered", metadata["issuer"])

    loopback = Loopback()
    browser = httpx.Client(follow_redirects=True, timeout=30, headers={"Accept": "text/html"})
    client = OAuth2Client(
        "demo-mobile", scope=SCOPE, redirect_uri=loopback.uri, code_challenge_method="S256",
        token_endpoint_auth_method="none", timeout=30,
    )

    def sign_in(**more):
        nonce, verifier = uuid.uuid4().hex, uuid.uuid4().hex + uuid.uuid4().hex
        url, state = client.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce, **more)
        answer = walk(browser, url, loopback, user)
        token = client.fetch_token(
            metadata["token_endpoint"], authorization_response=answer, state=state, code_verifier=verifier)
        return dict(token), nonce

    token, nonce = sign_in()
    print("signed in", token["token_type"], token["expires_in"])
    claims = verified(token, metadata, nonce)
    print("id token verified", claims["sub"], claims.header["alg"])
    userinfo = client.get(metadata["userinfo_endpoint"]).json()
    assert userinfo["sub"] == claims["sub"], userinfo

    items = client.get(f"{public}/api/v1/inventory?limit=5").json()["items"]
    item = next(item for item in items if item["available"] > 0)
    reserved = client.post(
        f"{public}/api/v1/reservations",
        json={"items": [{"inventory_id": item["id"], "quantity": 1}], "payment": {"token": "tok_visa"}},
        headers={"Idempotency-Key": uuid.uuid4().hex, "Prefer": "wait=20"},
    )
    assert reserved.status_code == 201, (reserved.status_code, reserved.text)
    print("reserved", reserved.json()["id"], reserved.json()["status"])

    old = token
    token = dict(client.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"]))
    assert token["refresh_token"] != old["refresh_token"], "it must rotate"
    assert client.get(f"{public}/api/v1/reservations").status_code == 200
    print("refreshed")

    silent, nonce = sign_in(prompt="none")
    assert verified(silent, metadata, nonce)["sub"] == claims["sub"]
    print("single sign-on: no second login in the same cookie jar")

    def status(access_token):
        headers = {"Authorization": f"Bearer {access_token}"}
        return httpx.get(f"{public}/api/v1/reservations", headers=headers).status_code

    assert status(silent["access_token"]) == 200
    client.revoke_token(metadata["revocation_endpoint"], token=silent["access_token"], token_type_hint="access_token")
    soon("a revoked token is refused", lambda: status(silent["access_token"]) == 401)
    assert status(token["access_token"]) == 200, "the control: another token lives on"
    print("revoked: refused right after")

    query = urllib.parse.urlencode({"id_token_hint": silent["id_token"], "client_id": "demo-mobile"})
    page = browser.get(f'{metadata["end_session_endpoint"]}?{query}')
    assert page.status_code == 200, (page.status_code, page.text)
    soon("a token of an ended session is refused", lambda: status(token["access_token"]) == 401)
    page = browser.get(client.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier="v" * 43, nonce="n")[0])
    assert 'name="password"' in page.text, "after signing out the login page is back"
    print("signed out: refused right after")

    service = next(one for one in demo["clients"] if one["client_id"] == "demo-service")
    machine = OAuth2Client(service["client_id"], service["client_secret"], scope="inventory:write", timeout=30)
    machine.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    created = machine.post(f"{public}/api/v1/inventory", json={"name": "From Python", "quantity": 1})
    assert created.status_code == 201, (created.status_code, created.text)
    print("service token", created.json()["id"])


if __name__ == "__main__":
    main()
