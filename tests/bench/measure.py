"""Measures Haetae beside its peers and writes docs/benchmarks.md. Started by tests/bench/run.

What is measured has core 0 to itself; load, upstream and everything else share core 1. Rounds are
interleaved, figures are medians, and the ratios within one run are what counts: absolute figures depend on
the machine and on whatever else it does.
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / "tests/bench/peers"
BODY = json.dumps({"items": [{"id": n, "name": "x" * 78} for n in range(5)]}, separators=(",", ":"))[:500].ljust(500)
TICKS = os.sysconf("SC_CLK_TCK")
MEASURED, OTHER = "0", "1"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def await_port(port, what, process=None):
    for _ in range(1500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process and process.poll() is not None:
            sys.exit(f"{what} ended with {process.returncode}")
        time.sleep(0.02)
    sys.exit(f"{what} does not listen on {port}")


def processes(pid):
    """pid and all its descendants."""
    found, rest = [], [pid]
    while rest:
        one = rest.pop()
        found.append(one)
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{one}/task").iterdir():
                rest += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


def pin(pid, core):
    subprocess.run(["taskset", "-acp", core, str(pid)], stdout=subprocess.DEVNULL, check=False)


class Processes:
    """What this script started, ended when it ends."""

    def __init__(self):
        self.started = []

    def start(self, arguments, core, **more):
        more = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL} | more
        process = subprocess.Popen(["taskset", "-c", core, *map(str, arguments)], **more)
        self.started.append(process)
        return process

    def end(self):
        for process in reversed(self.started):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            if process.poll() is None:
                process.kill()


def fill(name, folder, **values):
    text = (PEERS / name).read_text()
    for key, value in ({"DIR": folder} | values).items():
        text = text.replace(f"@{key}@", str(value))
    path = pathlib.Path(folder) / f"{values.get('PORT', 'x')}-{name}"
    path.write_text(text)
    return path


def get(url, token=None, method="GET", form=None, body=None):
    data = urllib.parse.urlencode(form).encode() if form else json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data=data, method=method)
    if token:
        request.add_header("Authorization", token)
    if body:
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


class Haetae:
    """A whole Haetae from `haetae up --demo`, with its roles on the cores that a table wants."""

    ROUTES = """
[gateway]
threads = 1
access_log = @ACCESS_LOG@
[[gateway.upstreams]]
name = "auth"
cookies = ["haetae-sso", "haetae-lang", "haetae-flow"]
[[gateway.upstreams]]
name = "reservation"
[[gateway.upstreams]]
name = "bench"
addresses = ["127.0.0.1:@UPSTREAM@"]
health_path = "/"
[[gateway.limits]]
name = "bench"
key = "subject"
quota = 100000000
window = "1m"
[[gateway.routes]]
name = "bench"
path = "/bench"
upstream = "bench"
scopes = ["inventory:write"]
limits = ["bench"]
[[gateway.routes]]
name = "public"
path = "/public"
upstream = "bench"
authenticate = "none"
[[gateway.routes]]
name = "well-known"
path = "/.well-known/openid-configuration"
upstream = "auth"
authenticate = "none"
[[gateway.routes]]
name = "oauth2"
path = "/oauth2/{*rest}"
upstream = "auth"
authenticate = "none"
[[gateway.routes]]
name = "login"
path = "/login"
upstream = "auth"
authenticate = "none"
[[gateway.routes]]
name = "inventory"
path = "/api/v1/inventory"
upstream = "reservation"
scopes = ["inventory:write"]
[[gateway.routes]]
name = "inventory-item"
path = "/api/v1/inventory/{id}"
upstream = "reservation"
authenticate = "none"
[[gateway.routes]]
name = "reservations"
path = "/api/v1/reservations"
upstream = "reservation"
scopes = ["reservations:write"]
"""

    def __init__(self, running, binary, folder, upstream, measured, access_log=False, database=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        config = self.folder / "haetae.toml"
        config.write_text(self.ROUTES.replace("@UPSTREAM@", str(upstream)).replace("@ACCESS_LOG@", str(access_log).lower()))
        environment = os.environ | {
            f"HAETAE__{name}": value
            for name, value in {
                "GATEWAY__LISTEN": "127.0.0.1:0", "GATEWAY__ADMIN__LISTEN": "127.0.0.1:0",
                "AUTH__LISTEN": "127.0.0.1:0", "AUTH__ADMIN__LISTEN": "127.0.0.1:0",
                "RESERVATION__LISTEN": "127.0.0.1:0", "RESERVATION__ADMIN__LISTEN": "127.0.0.1:0",
                "WORKER__ADMIN__LISTEN": "127.0.0.1:0",
                "AUTH__TOKENS__ACCESS": "1h", "AUTH__TOKENS__CLIENT_CREDENTIALS": "1h",
                # The gateway remembers revocations for as long as a token lives.
            }.items()
        }
        for name, url in (database or {}).items():
            environment[f"HAETAE__DATABASE__{name}"] = url
        data = self.folder / "data"
        began = time.monotonic()
        self.up = running.start(
            [binary / "haetae", "up", "--demo", "--data-dir", data, "--config", config], OTHER, env=environment,
            stderr=(self.folder / "log").open("w"))
        while not (data / "instance.json").exists():
            if self.up.poll() is not None:
                sys.exit((self.folder / "log").read_text())
            time.sleep(0.005)
        self.start_seconds = time.monotonic() - began
        self.instance = json.loads((data / "instance.json").read_text())
        self.demo = json.loads((data / "demo.json").read_text())
        self.url = self.instance["public_url"].rstrip("/")
        self.roles = {name: role["pid"] for name, role in self.instance["roles"].items()}
        self.port = int(self.instance["roles"]["gateway"]["listen"].rpartition(":")[2])
        for name in measured:
            pin(self.roles[name], MEASURED)

    def client(self, name):
        return next(client for client in self.demo["clients"] if client["client_id"] == name)

    def user(self, name):
        return next(user for user in self.demo["users"] if user["username"] == name)

    def service_token(self):
        client = self.client("demo-service")
        basic = base64.b64encode(f'{client["client_id"]}:{client["client_secret"]}'.encode()).decode()
        answer = get(f"{self.url}/oauth2/token", f"Basic {basic}", "POST",
                     {"grant_type": "client_credentials", "scope": "inventory:write"})
        return answer["access_token"]


def pem_of(jwk):
    """SubjectPublicKeyInfo of a P-256 key."""
    def number(name):
        return base64.urlsafe_b64decode(jwk[name] + "==")
    der = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + number("x") + number("y")
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[at:at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"


def wrk(port, path, token, seconds, connections=64):
    arguments = ["taskset", "-c", OTHER, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if token:
        arguments += ["-H", f"Authorization: Bearer {token}"]
    text = subprocess.run([*arguments, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"port {port}{path}: {text}")
    p50, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", text).groups()
    return {
        "requests": int(re.search(r"(\d+) requests in", text)[1]),
        "p50_us": float(p50) * {"us": 1, "ms": 1e3, "s": 1e6}[unit],
    }


def gateway(options, folder, running):
    """CPU microseconds a request of the gateway and of its peers."""
    upstream = free_port()
    config = fill("nginx-upstream.conf", folder, UPSTREAM=upstream, BODY=BODY)
    running.start(["nginx", "-c", config, "-p", folder], OTHER)
    await_port(upstream, "the upstream")
    haetae = Haetae(running, options.bin, f"{folder}/gateway", upstream, ["gateway"])
    logging = Haetae(running, options.bin, f"{folder}/gateway-log", upstream, ["gateway"], access_log=True)
    token = haetae.service_token()
    jwks = get(f"{haetae.url}/oauth2/jwks")
    head = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    jwk = next(key for key in jwks["keys"] if key["kid"] == head["kid"])
    pathlib.Path(folder, "issuer.pem").write_text(pem_of(jwk))

    def envoy(mode):
        cache = "jwt_cache_config: { jwt_cache_size: 20000 }" if mode == "cache" else ""
        filters = "" if mode == "bare" else f"""
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                haetae:
                  issuer: "{haetae.url}"
                  local_jwks: {{ inline_string: '{json.dumps({"keys": [jwk]})}' }}
                  {cache}
              rules: [{{ match: {{ prefix: "/" }}, requires: {{ provider_name: haetae }} }}]
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: limit
              token_bucket: {{ max_tokens: 100000000, tokens_per_fill: 100000000, fill_interval: 60s }}
              filter_enabled: {{ default_value: {{ numerator: 100 }} }}
              filter_enforced: {{ default_value: {{ numerator: 100 }} }}
"""
        return filters

    rows = []

    def peer(name, arguments, port, path="/", bearer=None):
        process = running.start(arguments, MEASURED, cwd=folder)
        await_port(port, name, process)
        rows.append({"name": name, "pid": process.pid, "port": port, "path": path, "token": bearer})

    def port_and(name, **more):
        port = free_port()
        return port, fill(name, folder, PORT=port, UPSTREAM=upstream, ISSUER=haetae.url, **more)

    port, config = port_and("nginx.conf")
    peer("nginx, bare", ["nginx", "-c", config, "-p", folder], port)
    port, config = port_and("haproxy.cfg")
    peer("HAProxy, bare", ["haproxy", "-db", "-f", config], port)
    port = free_port()
    peer("Pingora, bare", [options.bin / "bare-pingora", f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"], port)
    program = ROOT / "target/venv-bench/lib"
    program = next(program.glob("python*/site-packages/envoy/_bin/envoy"))
    for mode, title in [("bare", "Envoy, bare"), ("jwt", "Envoy, ES256 and a limit, no cache"),
                        ("cache", "Envoy, ES256 and a limit, cache of 20,000")]:
        port = free_port()
        config = fill("envoy.yaml", folder, PORT=port, UPSTREAM=upstream, MODE=mode, FILTERS=envoy(mode))
        peer(title, [program, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "--base-id", str(port)],
             port, bearer=None if mode == "bare" else token)
    port, config = port_and("haproxy-jwt.cfg")
    text = config.read_text()
    # demo-service has another scope than a person.
    config.write_text(text.replace("reservations:read", "inventory:write"))
    peer("HAProxy, ES256, claims and a limit", ["haproxy", "-db", "-f", config], port, bearer=token)
    rows.append({"name": "**Haetae**, public route", "pid": haetae.roles["gateway"], "port": haetae.port, "path": "/public", "token": None})
    rows.append({"name": "**Haetae**, bearer token: everything", "pid": haetae.roles["gateway"], "port": haetae.port, "path": "/bench", "token": token})
    rows.append({"name": "**Haetae**, the same with its access log", "pid": logging.roles["gateway"], "port": logging.port, "path": "/bench",
                 "token": logging.service_token()})
    for row in rows:
        row["cpu"], row["p50"] = [], []
        wrk(row["port"], row["path"], row["token"], 1)
    for _ in range(options.rounds):
        for row in rows:
            pids = processes(row["pid"])
            before = cpu_seconds(pids)
            result = wrk(row["port"], row["path"], row["token"], options.seconds)
            row["cpu"].append((cpu_seconds(pids) - before) * 1e6 / result["requests"])
    for _ in range(3):
        for row in rows:
            row["p50"].append(wrk(row["port"], row["path"], row["token"], 1, connections=1)["p50_us"])
    floor = statistics.median(next(row for row in rows if row["name"] == "Pingora, bare")["cpu"])
    lines = ["| | CPU µs a request | against bare Pingora | latency p50, one connection, µs |", "|---|---|---|---|"]
    for row in rows:
        cpu = statistics.median(row["cpu"])
        spread = (max(row["cpu"]) - min(row["cpu"])) / 2 / cpu
        lines.append(f'| {row["name"]} | {cpu:.1f} ± {spread:.0%} | {cpu / floor:.2f} | {statistics.median(row["p50"]):.0f} |')
    return "\n".join(lines)


def load(options, *arguments):
    """Runs the load; yields once it is busy, then its result."""
    process = subprocess.Popen(["taskset", "-c", OTHER, str(options.bin / "haetae-load"), *map(str, arguments)],
                               stdout=subprocess.PIPE, text=True)
    if process.stdout.readline().strip() != "ready":
        sys.exit("the load did not begin")
    return process


def auth(options, folder, running):
    """CPU microseconds a request of the auth server and of oidc-provider."""
    upstream = free_port()
    haetae = Haetae(running, options.bin, f"{folder}/auth", upstream, ["auth"])
    direct = "http://" + haetae.instance["roles"]["auth"]["listen"]
    redis = haetae.instance["redis_pid"]
    port = free_port()
    node = shutil.which("node")
    peer = running.start([node, "provider.mjs", port], MEASURED, cwd=ROOT / "target/bench/oidc-provider")
    await_port(port, "oidc-provider", peer)
    theirs = f"http://127.0.0.1:{port}"
    service, user = haetae.client("demo-service"), haetae.user("demo")
    redirect = "http://127.0.0.1:49152/callback"
    scope = "openid offline_access reservations:read"
    # As the peer's client: ES256 for ID tokens too. (OpenID Connect's default is RS256, which costs 200 µs more.)
    metadata = [{"client_id": "bench-public", "client_name": "Bench", "token_endpoint_auth_method": "none", "first_party": True,
                 "redirect_uris": [redirect], "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
                 "scope": scope, "id_token_signed_response_alg": "ES256"}]
    file = pathlib.Path(folder, "clients.json")
    file.write_text(json.dumps(metadata))
    subprocess.run([options.bin / "haetae", "client", "import", file, "--data-dir", haetae.folder / "data",
                    "--config", haetae.folder / "haetae.toml"], check=True, stdout=subprocess.DEVNULL)
    person = (haetae.url, "bench-public", redirect, user["username"], user["password"], scope)
    other = (theirs, "bench-public", redirect, "bench", "none", scope)
    table = {
        "client_credentials, ES256": {
            "haetae": ("client-credentials", f"{direct}/oauth2/token", service["client_id"], service["client_secret"], "inventory:write"),
            "peer": ("client-credentials", f"{theirs}/token", "bench-service", "a secret of the benchmark", "inventory:write"),
        },
        "refresh: rotation, access and ID token, ES256": {"haetae": ("refresh", *person), "peer": ("refresh", *other)},
        "code flow with PKCE, signed in already: authorize and token": {"haetae": ("code", *person), "peer": ("code", *other)},
    }
    figures = {name: {"haetae": [], "peer": [], "redis": []} for name in table}
    for _ in range(options.rounds):
        for name, both in table.items():
            for who, arguments in both.items():
                pids = processes(haetae.roles["auth"] if who == "haetae" else peer.pid)
                process = load(options, *arguments, 32, options.seconds)
                before, redis_before = cpu_seconds(pids), cpu_seconds([redis])
                out = process.communicate()[0]
                spent, in_redis = cpu_seconds(pids) - before, cpu_seconds([redis]) - redis_before
                result = json.loads(out.strip().splitlines()[-1])
                if result["failures"] or not result["operations"]:
                    sys.exit(f"{name}, {who}: {result}")
                figures[name][who].append(spent * 1e6 / result["operations"])
                if who == "haetae":
                    figures[name]["redis"].append(in_redis * 1e6 / result["operations"])
    lines = ["| | oidc-provider, CPU µs | Haetae, CPU µs | and in Redis | oidc-provider / Haetae |", "|---|---|---|---|---|"]
    for name, found in figures.items():
        middle = {who: statistics.median(values) for who, values in found.items()}
        lines.append(f'| {name} | {middle["peer"]:.0f} | {middle["haetae"]:.0f} | {middle["redis"]:.0f} | '
                     f'{middle["peer"] / (middle["haetae"] + middle["redis"]):.1f} |')
    return "\n".join(lines)


def postgres(folder, running):
    """A throw-away cluster; returns its port."""
    bins = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin")) or [pathlib.Path(shutil.which("initdb") or "").parent]
    port, place = free_port(), pathlib.Path(folder) / "postgres"
    place.mkdir()
    as_user = []
    if os.getuid() == 0:
        shutil.chown(place, "postgres")
        os.chmod(folder, 0o755)
        as_user = ["runuser", "-u", "postgres", "--"]
    subprocess.run([*as_user, bins[-1] / "initdb", "-D", place / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8"],
                   check=True, stdout=subprocess.DEVNULL, cwd="/")
    running.start([*as_user, bins[-1] / "postgres", "-D", place / "data", "-h", "127.0.0.1", "-p", port, "-k", place,
                   "-c", "max_connections=200"], f"{MEASURED},{OTHER}", cwd="/")
    await_port(port, "PostgreSQL")
    for _ in range(100):
        if subprocess.run([bins[-1] / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode == 0:
            break
        time.sleep(0.05)
    for name in ["auth", "reservation", "lock"]:
        subprocess.run([bins[-1] / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", name], check=True)
    return port


def reservation(options, folder, running):
    """One hot item: Haetae over HTTP against one lock and one transaction a request."""
    port = postgres(folder, running)
    url = f"postgres://postgres@127.0.0.1:{port}"
    rates = {"sqlite": [], "postgres": [], "lock": [], "row": []}
    stacks = {
        "sqlite": Haetae(running, options.bin, f"{folder}/hot-sqlite", 1, []),
        "postgres": Haetae(running, options.bin, f"{folder}/hot-postgres", 1, [],
                           database={"AUTH_URL": f"{url}/auth", "RESERVATION_URL": f"{url}/reservation"}),
    }
    for stack in stacks.values():
        for pid in stack.roles.values():
            pin(pid, f"{MEASURED},{OTHER}")
    socket_path = stacks["sqlite"].folder / "data/redis.sock"
    tokens = {}
    for name, stack in stacks.items():
        user = stack.user("demo")
        tokens[name] = subprocess.run(
            [options.bin / "haetae-load", "token", stack.url, "demo-mobile", "http://127.0.0.1:49152/callback",
             user["username"], user["password"], "openid reservations:read reservations:write"],
            check=True, capture_output=True, text=True).stdout.strip()
    for number in range(options.rounds):
        for name, stack in stacks.items():
            item = get(f"{stack.url}/api/v1/inventory", f"Bearer {stack.service_token()}", "POST",
                       body={"name": f"Hot {number}", "quantity": 1_000_000})["id"]
            direct = "http://" + stack.instance["roles"]["reservation"]["listen"]
            process = subprocess.run(
                [options.bin / "haetae-load", "reserve", direct, tokens[name], item, "64", str(options.reservations)],
                check=True, capture_output=True, text=True)
            result = json.loads(process.stdout.strip().splitlines()[-1])
            if result["failures"]:
                sys.exit(f"hot item on {name}: {result}\n{process.stderr}")
            rates[name].append(result["operations"] / result["seconds"])
        for name, redis in [("lock", f"redis+unix://{socket_path}"), ("row", "-")]:
            out = subprocess.run([options.bin / "lock-per-request", f"{url}/lock", redis, "64", str(options.seconds)],
                                 check=True, capture_output=True, text=True).stdout
            result = json.loads(out)
            rates[name].append(result["holds"] / result["seconds"])
    middle = {name: statistics.median(values) for name, values in rates.items()}
    lines = ["| | holds a second | ratio |", "|---|---|---|"]
    for name, title in [("lock", "one lock and one transaction a request, PostgreSQL, without HTTP"),
                        ("row", "one transaction a request, without the lock in Redis either"),
                        ("postgres", "**Haetae** on PostgreSQL, over HTTP, from the first request to the last hold"),
                        ("sqlite", "**Haetae** on SQLite, the same")]:
        lines.append(f'| {title} | {middle[name]:,.0f} | {middle[name] / middle["lock"]:.1f} |')
    return "\n".join(lines)


def footprint(options, folder, running):
    """Size, start, idle memory."""
    first = Haetae(running, options.bin, f"{folder}/idle", 1, [])
    time.sleep(5)
    lines = ["| | |", "|---|---|",
             f'| binary, {options.profile} profile | {(options.bin / "haetae").stat().st_size / 2**20:.1f} MiB |',
             f"| first start with demo data, command to ready | {first.start_seconds:.2f} s |"]
    seconds = []
    for _ in range(3):
        first.up.send_signal(signal.SIGTERM)
        first.up.wait(30)
        data = first.folder / "data"
        began = time.monotonic()
        first.up = running.start([options.bin / "haetae", "up", "--demo", "--data-dir", data, "--config", first.folder / "haetae.toml"],
                                 f"{MEASURED},{OTHER}", env=os.environ | {
                                     f"HAETAE__{name}__LISTEN": "127.0.0.1:0" for name in
                                     ["GATEWAY", "GATEWAY__ADMIN", "AUTH", "AUTH__ADMIN", "RESERVATION", "RESERVATION__ADMIN", "WORKER__ADMIN"]})
        while not (data / "instance.json").exists():
            time.sleep(0.002)
        seconds.append(time.monotonic() - began)
    lines.append(f"| second start | {statistics.median(seconds):.2f} s |")
    time.sleep(5)
    instance = json.loads((first.folder / "data/instance.json").read_text())
    for name, role in instance["roles"].items():
        lines.append(f'| {name}, idle | {resident_mib(role["pid"]):.0f} MiB |')
    lines.append(f'| Redis, idle | {resident_mib(instance["redis_pid"]):.0f} MiB |')
    return "\n".join(lines)


PARTS = {
    "gateway": ("Gateway", gateway, """Proxy on core 0, one thread; upstream (nginx, 500 bytes of JSON) and wrk (64 keep-alive connections) on
core 1; CPU time of the proxy process a request. *Everything* is: clean the request, find the route, verify the token (verified-token
cache), look into the denylist, check the scope, count a GCRA limit by subject, write the identity, proxy. HAProxy checks signature, issuer,
expiry and scope on each request and counts in a stick table; Envoy runs jwt_authn on a local key set and local_ratelimit."""),
    "auth": ("Auth server", auth, """Server on core 0, 32 connections from core 1, CPU time a request. oidc-provider keeps its state in process memory
and loses it when it ends; Haetae keeps it in SQLite and in Redis, whose CPU time stands beside it and counts in the ratio. No password is
hashed in any of these."""),
    "reservation": ("One hot item", reservation, """64 clients reserve one unit each of the same item. Haetae: HTTP, token, validation, idempotency key, durable
acceptance, queue, worker, history and outbox, until the last reservation is held. The comparison holds a `SET NX PX` lock in Redis and runs
one transaction (SELECT FOR UPDATE, UPDATE, INSERT) a request, without HTTP and without any of the rest. Both have both cores, which they
share with PostgreSQL and the load."""),
    "footprint": ("Footprint", footprint, "With demo data, five seconds after the start."),
}


def versions():
    def said(*arguments):
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "?"
        return re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)[0]
    lock = (ROOT / "Cargo.lock").read_text()
    pingora = re.search(r'name = "pingora"\nversion = "([^"]+)"', lock)[1]
    return (f"nginx {said('nginx', '-v')}, HAProxy {said('haproxy', '-v')}, Envoy 1.40.0, pingora {pingora}, "
            f"oidc-provider 9.13.3 on Node {said('node', '--version')}, Redis {said('redis-server', '--version')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--quick", action="store_true", help="short rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each row in each round")
    parser.add_argument("--reservations", type=int, default=20_000)
    parser.add_argument("--note", default="", help="what a reader must know of the machine at that time")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="measure these anew, take the others from before")
    options = parser.parse_args()
    options.bin = options.bin.resolve()
    if options.quick:
        options.rounds, options.seconds, options.reservations = 2, 2, 4_000
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed: one for what is measured, one for the load")
    kept = ROOT / "target/bench/results"
    kept.mkdir(parents=True, exist_ok=True)
    for part in options.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="haetae-bench-") as folder:
            running = Processes()
            try:
                table = PARTS[part][1](options, folder, running)
            finally:
                running.end()
        print(f"\n## {PARTS[part][0]}\n\n{table}", flush=True)
        how = f"{options.rounds} rounds of {options.seconds} s, profile `{options.profile}`, {time.strftime('%Y-%m-%d %H:%M')}, commit {commit()}."
        (kept / f"{part}.md").write_text(f"{table}\n\n{how} {options.note}".strip() + "\n")
    missing = [part for part in PARTS if not (kept / f"{part}.md").exists()]
    if missing:
        print(f"\ndocs/benchmarks.md is not written: not measured yet: {', '.join(missing)}")
        return
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    text = f"""# Benchmarks

Written by `make bench`: {model[1] if model else platform.machine()}, two cores in use. {versions()}.

Read the ratios, not the absolute figures: within a table, peers and Haetae ran in interleaved rounds of one run, and each figure is the
median. What another machine or another load would say of a single row is another matter.
"""
    for part, (title, _, how) in PARTS.items():
        text += f"\n## {title}\n\n{' '.join(how.split())}\n\n{(kept / f'{part}.md').read_text()}"
    (ROOT / "docs/benchmarks.md").write_text(text)
    print("\nWritten to docs/benchmarks.md")


def commit():
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
