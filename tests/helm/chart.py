"""The Helm chart, rendered by Helm's own library and read as a cluster would read it.

    chart.py check        everything that can be said of it without running anything
    chart.py pods VALUES  the pods of these values (JSON, or the name of a file in ci/), as JSON: what each is
                          given, runs and is asked

Prints one line a step; any surprise is an exception.
"""

import copy
import json
import logging
import pathlib
import re
import sys
import tempfile
import tomllib

import helm_python as helm
import kubernetes_validate
import yaml

logging.disable(logging.CRITICAL)
ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/haetae"
ROLES = ["gateway", "auth", "reservation", "worker"]
# The oldest that Chart.yaml allows, and the newest with a schema.
VERSIONS = ["1.30", "1.37"]
# Kinds that come with CRDs, and what their specification must have.
CUSTOM = {
    "HTTPRoute": ["parentRefs", "hostnames", "rules"],
    "PodMonitor": ["selector", "podMetricsEndpoints"],
    "PrometheusRule": ["groups"],
}


def values_of(case):
    return helm.values_from_yaml((CHART / f"ci/{case}-values.yaml").read_text())


def files(values):
    """The rendered files of a release `demo` in the namespace `prod`."""
    with helm.Chart.load(CHART) as chart:
        return chart.render(values, name="demo", namespace="prod", is_install=True)


def render(values):
    """The objects of the release."""
    manifests = {name: text for name, text in files(values).items() if name.endswith(".yaml")}
    return [it for text in manifests.values() for it in yaml.safe_load_all(text) if it]


def refusal(values):
    try:
        render(values)
    except helm.HelmError as error:
        return str(error)
    raise AssertionError(f"taken: {values}")


def named(objects, kind, name):
    found = [it for it in objects if it["kind"] == kind and it["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def workloads(objects):
    """Name and pod template of everything that runs."""
    for it in objects:
        if it["kind"] in ("Deployment", "Job"):
            yield it["metadata"]["labels"]["app.kubernetes.io/component"], it["spec"]["template"]


def is_hook(it):
    return "helm.sh/hook" in it["metadata"].get("annotations", {})


def mounts(objects, pod):
    """What a pod finds at which path: the text of a file, or the key of a Secret."""
    volumes = {it["name"]: it for it in pod["volumes"]}
    container = pod["containers"][0]
    texts, secrets = {}, {}
    for mount in container["volumeMounts"]:
        volume, at = volumes[mount["name"]], mount["mountPath"]
        if "projected" in volume:
            for source in volume["projected"]["sources"]:
                for item in source["secret"]["items"]:
                    secrets[f"{at}/{item['path']}"] = item["key"]
        elif "secret" in volume:
            secrets |= {f"{at}/{key}": key for key in ("tls.crt", "tls.key")}
        elif mount["name"] == "configuration":
            data = named(objects, "ConfigMap", volume["configMap"]["name"])["data"]
            texts |= {f"{at}/{key}": text for key, text in data.items()}
    return texts, secrets


def pods(values):
    """What each role's pod is given, what it runs, and what it is asked."""
    objects = render(values)
    found = {}
    for role, template in workloads(objects):
        container = template["spec"]["containers"][0]
        ports = {it["name"]: it["containerPort"] for it in container.get("ports", [])}
        texts, secrets = mounts(objects, template["spec"])
        probe = lambda name: [ports[container[name]["httpGet"]["port"]], container[name]["httpGet"]["path"]]
        found[role] = {
            "args": container["args"],
            "working_dir": container["workingDir"],
            "files": texts,
            "secrets": secrets,
            "ports": ports,
            "probes": {name: probe(name) for name in container if name.endswith("Probe")},
        }
    return found


def check_lint():
    for case in ("minimal", "everything"):
        report = helm.lint(CHART, values_of(case), strict=True)
        bad = [it for it in report["messages"] if it["severity"] > 1]
        assert not bad, bad
    print("lint: nothing to say")


def check_schemas(objects, case):
    for it in objects:
        name = f"{it['kind']} {it['metadata']['name']}"
        if it["kind"] in CUSTOM:
            missing = [key for key in CUSTOM[it["kind"]] if not it["spec"].get(key)]
            assert not missing, f"{name}: no {missing}"
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(it, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                raise AssertionError(f"{name}, Kubernetes {version}: {error.message}") from error
    names = [(it["kind"], it["metadata"]["name"]) for it in objects]
    assert len(names) == len(set(names)), "two of one name"
    print(f"schemas: {len(objects)} objects of {case} are what Kubernetes {' and '.join(VERSIONS)} take")


def check_references(objects):
    """Whatever one object says of another is true."""
    selected = lambda labels: [
        (role, it) for role, it in workloads(objects) if labels.items() <= it["metadata"]["labels"].items()
    ]
    for it in objects:
        name, spec = it["metadata"]["name"], it.get("spec", {})
        if it["kind"] == "Service":
            ((_, template),) = selected(spec["selector"])
            ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
            assert all(port["targetPort"] in ports for port in spec["ports"]), name
        if it["kind"] in ("Deployment", "PodDisruptionBudget"):
            assert len(selected(spec["selector"]["matchLabels"])) == 1, name
        if it["kind"] == "HorizontalPodAutoscaler":
            target = named(objects, "Deployment", spec["scaleTargetRef"]["name"])
            assert "replicas" not in target["spec"], f"{name}: two say how many"
        if it["kind"] == "Ingress":
            for rule in spec["rules"]:
                service = rule["http"]["paths"][0]["backend"]["service"]
                ports = named(objects, "Service", service["name"])["spec"]["ports"]
                assert service["port"]["number"] in [port["port"] for port in ports], name
        if it["kind"] == "HTTPRoute":
            for backend in spec["rules"][0]["backendRefs"]:
                ports = named(objects, "Service", backend["name"])["spec"]["ports"]
                assert backend["port"] in [port["port"] for port in ports], name
    for it in objects:
        if it["kind"] not in ("Deployment", "Job"):
            continue
        pod = it["spec"]["template"]["spec"]
        accounts = [it["metadata"]["name"] for it in objects if it["kind"] == "ServiceAccount"]
        ours = pod.get("serviceAccountName", "default") in accounts
        assert not (is_hook(it) and ours), "a Job that runs before its ServiceAccount is there"
        assert ours or is_hook(it) or not accounts, it["metadata"]["name"]
        for volume in pod["volumes"]:
            if volume["name"] == "configuration":
                needed = named(objects, "ConfigMap", volume["configMap"]["name"])
                assert is_hook(needed) or not is_hook(it), "a Job that runs before its ConfigMap is there"
    print("references: each leads to something")


def check_restricted(objects):
    """The restricted Pod Security Standard, and a root that nobody writes to."""
    for role, template in workloads(objects):
        pod, container = template["spec"], template["spec"]["containers"][0]
        of_pod, of_container = pod["securityContext"], container["securityContext"]
        assert pod["automountServiceAccountToken"] is False, role
        assert of_pod["runAsNonRoot"] is True and of_pod["runAsUser"] > 0, role
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}, role
        assert of_container["allowPrivilegeEscalation"] is False, role
        assert of_container["readOnlyRootFilesystem"] is True, role
        assert of_container["capabilities"] == {"drop": ["ALL"]}, role
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), role
        assert not any("hostPath" in volume for volume in pod["volumes"]), role
        assert container["resources"]["requests"] and container["resources"]["limits"]["memory"], role
    print("security: every pod is restricted")


def check_secrets(objects):
    """Each pod is given what its role uses, and the configuration names just those files."""
    uses = {
        "gateway": {"redis-url", "gateway-client-secret"},
        "auth": {"redis-url", "gateway-client-secret", "auth-database-url", "master-key"},
        "reservation": {"redis-url", "reservation-database-url"},
        "worker": {"redis-url", "reservation-database-url"},
        "migrate": {"auth-database-url", "reservation-database-url"},
    }
    for role, template in workloads(objects):
        texts, secrets = mounts(objects, template["spec"])
        given = {path for path in secrets if path.startswith("/run/secrets/haetae/")}
        assert given == {f"/run/secrets/haetae/{name}" for name in uses[role]}, (role, given)
        text = texts["/etc/haetae/haetae.toml"]
        named_files = set(re.findall(r'"(/run/secrets/[^"]+)"', text))
        assert secrets.keys() <= named_files, (role, secrets.keys() - named_files)
        others = {f"/run/secrets/haetae/{name}" for names in uses.values() for name in names}
        assert named_files - {"/run/secrets/haetae-tls/tls.crt", "/run/secrets/haetae-tls/tls.key"} == others
    print("secrets: each pod has its own and no more")


def check_upstreams(objects):
    """The gateway's upstreams are Services that there are, and otherwise as in the defaults."""
    text = named(objects, "ConfigMap", "demo-haetae")["data"]["haetae.toml"]
    defaults = tomllib.loads((ROOT / "config/haetae.toml").read_text())["gateway"]["upstreams"]
    upstreams = tomllib.loads(text)["gateway"]["upstreams"]
    for default in defaults:
        (ours,) = [it for it in upstreams if it["name"] == default["name"]]
        headless = []
        for address in ours["addresses"]:
            name, port = address.split(":")
            spec = named(objects, "Service", name)["spec"]
            assert spec["selector"]["app.kubernetes.io/component"] == ours["name"], address
            assert int(port) in [it["port"] for it in spec["ports"]], address
            headless.append(spec.get("clusterIP") == "None")
        assert headless == [True, False], ours["addresses"]
        assert {**default, "addresses": ours["addresses"]} == ours, "not the defaults of config/haetae.toml"
    print("upstreams: pods and Services of both")


def check_policies(objects):
    """Who reaches whom, by the policies of both ends."""
    ports = {}
    labels = {role: template["metadata"]["labels"] for role, template in workloads(objects)}
    for role, template in workloads(objects):
        names = template["spec"]["containers"][0].get("ports", [])
        ports[role] = {it["name"]: it["containerPort"] for it in names}
    policy = {}
    for it in objects:
        if it["kind"] == "NetworkPolicy":
            spec = it["spec"]
            assert spec["policyTypes"] == ["Ingress", "Egress"]
            (role,) = [role for role in labels if spec["podSelector"]["matchLabels"].items() <= labels[role].items()]
            policy[role] = spec
    assert policy.keys() == labels.keys(), "a pod without a policy"

    def lets(rules, peers, other, port):
        return any(
            port in [it["port"] for it in rule["ports"]]
            and any(
                set(peer) == {"podSelector"} and peer["podSelector"]["matchLabels"].items() <= labels[other].items()
                for peer in rule.get(peers, [])
            )
            for rule in rules
        )

    reached = {
        (a, b)
        for a in labels
        for b in ROLES
        if "http" in ports[b]
        and lets(policy[b].get("ingress", []), "from", a, ports[b]["http"])
        and lets(policy[a]["egress"], "to", b, ports[b]["http"])
    }
    expected = {("gateway", "auth"), ("gateway", "reservation"), ("reservation", "auth")}
    assert reached == expected, reached ^ expected
    for role in labels:
        to = {port["port"] for rule in policy[role]["egress"] for port in rule["ports"]}
        assert (6379 in to) == (role != "migrate") and (5432 in to) == (role != "gateway"), (role, to)
    for role in ROLES:
        admin = [it for it in policy[role]["ingress"] if it["ports"] == [{"port": ports[role]["admin"]}]]
        (rule,) = admin
        assert rule["from"], f"{role}: everybody reads its metrics"
        open_to_all = [it["ports"] for it in policy[role]["ingress"] if not it.get("from")]
        assert open_to_all == ([[{"port": 8080}]] if role == "gateway" else []), (role, open_to_all)
    print("policies: the gateway reaches both services, the reservation API the key set, nobody else anybody")


def check_stopping(objects):
    """A pod has the time that it takes to stop, and is not killed before."""
    for it in objects:
        if it["kind"] != "Deployment":
            continue
        pod = it["spec"]["template"]["spec"]
        container = pod["containers"][0]
        role = container["name"]
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        texts, _ = mounts(objects, pod)
        drain = tomllib.loads(texts["/etc/haetae/haetae.toml"])["gateway"]["drain"]
        needs = before + (int(drain.removesuffix("s")) if role == "gateway" else 30)
        grace = pod["terminationGracePeriodSeconds"]
        assert needs <= grace <= needs + 10, (role, needs, grace)
        # Redis and SQL are away for all pods at once: that must not end what still works.
        asked = container["readinessProbe"]["httpGet"]["path"]
        assert asked == ("/readyz" if role == "worker" else "/healthz"), (role, asked)
        assert container["startupProbe"]["httpGet"]["path"] == "/readyz", role
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz", role
    print("stopping: time enough for each role")


def check_rollout():
    """A change of the configuration rolls every pod; a change of something else need not."""
    sums = lambda values: {
        role: it["metadata"]["annotations"]["checksum/configuration"]
        for role, it in workloads(render(values))
        if role in ROLES
    }
    before = sums(values_of("minimal"))
    assert before == sums({**values_of("minimal"), "worker": {"replicas": 3}})
    after = sums({**values_of("minimal"), "config": {"log": {"level": "debug"}}})
    assert all(before[role] != after[role] for role in ROLES)
    print("roll-out: follows the configuration")


def check_overrides():
    """What a role says differently is so in this role alone, also when it is false or nothing."""
    values = values_of("minimal")
    values["config"] = {"auth": {"password": {"concurrency": 0}}, "gateway": {"access_log": False}}
    values["auth"] = {"pod": {"containerSecurityContext": {"readOnlyRootFilesystem": False}}}
    values["pod"] = {"securityContext": {"runAsUser": None}}
    objects = render(values)
    for role, template in workloads(objects):
        container = template["spec"]["containers"][0]
        assert container["securityContext"]["readOnlyRootFilesystem"] is (role != "auth"), role
        assert "runAsUser" not in template["spec"]["securityContext"], role
    text = tomllib.loads(named(objects, "ConfigMap", "demo-haetae")["data"]["haetae.toml"])
    assert text["auth"]["password"]["concurrency"] == 0 and text["gateway"]["access_log"] is False
    # Numbers, tables in lists and odd texts reach the file as they were said.
    odd = {"a b": 'c"\n<&>', "list": [1, 2], "big": 12345678901, "tables": [{"x": {"y": [True]}}, {"x": None}]}
    objects = render({**values_of("minimal"), "config": {"odd": odd}})
    text = tomllib.loads(named(objects, "ConfigMap", "demo-haetae")["data"]["haetae.toml"])
    odd["tables"][1] = {}
    assert text["odd"] == odd, text["odd"]
    print("overrides: what is said counts")


def check_refusals():
    """What cannot be meant is refused, in words that name it."""
    minimal = values_of("minimal")
    for more, words in [
        ({"publicUrl": ""}, ["publicUrl is not set"]),
        ({"publicUrl": "shop.example.com"}, ["/publicUrl"]),
        ({"issuerUrl": "https://login.example.com/path"}, ["/issuerUrl"]),
        ({"gateway": {"replica": 3}}, ["/gateway", "'replica'"]),
        ({"gateway": {"replicas": "three"}}, ["/gateway/replicas", "integer"]),
        ({"autoscaling": {}}, ["'autoscaling'"]),
        ({"gateway": {"service": {"type": "ExternalName"}}}, ["/gateway/service/type", "LoadBalancer"]),
        ({"secrets": {"masterKey": {"name": ""}}}, ["/secrets/masterKey/name"]),
        ({"secrets": {"masterKey": "text"}}, ["/secrets/masterKey"]),
        ({"image": {"digest": "latest"}}, ["/image/digest"]),
        ({"trustedProxies": ["example.com"]}, ["/trustedProxies/0"]),
        ({"auth": {"pod": {"hostNetwork": True}}}, ["/auth/pod", "'hostNetwork'"]),
        ({"podDisruptionBudget": {"maxUnavailable": 0}}, ["/podDisruptionBudget/maxUnavailable"]),
        ({"config": {"redis": {"url": "redis://x"}}}, ["config.redis.url", "secrets.redisUrl"]),
        ({"config": {"gateway": {"tls": {"key": "x"}}}}, ["config.gateway.tls", "gateway.tlsSecretName"]),
        ({"ingress": {"enabled": True}}, ["ingress.enabled needs trustedProxies"]),
        ({"httpRoute": {"enabled": True}, "trustedProxies": ["::1"]}, ["httpRoute.parentRefs"]),
    ]:
        error = refusal({**minimal, **more})
        assert all(word in error for word in words), f"{more}: {error}"
    # Every key that the chart writes into haetae.toml is one that `config` refuses, save those that it may change.
    text = tomllib.loads(named(render(minimal), "ConfigMap", "demo-haetae")["data"]["haetae.toml"])
    free = {"log.format", "auth.password.concurrency"}

    def keys(table, at=""):
        for key, value in table.items():
            path = f"{at}{key}"
            if isinstance(value, dict) and value.keys() != {"file"}:
                yield from keys(value, path + ".")
            else:
                yield path

    for path in keys(text):
        config = "x"
        for key in reversed(path.split(".")):
            config = {key: config}
        if path not in free:
            assert f"config.{path} cannot be set here" in refusal({**minimal, "config": config}), path
    print("refusals: each says what is wrong")


def check_notes():
    """What `helm install` prints."""
    minimal, everything = (files(values_of(case))["haetae/templates/NOTES.txt"] for case in ("minimal", "everything"))
    assert "exec -it deployment/demo-haetae-auth -- haetae user create NAME --role admin" in minimal
    assert "Nothing leads to the gateway" in minimal and "trustedProxies is empty" in minimal
    assert "Nothing leads" not in everything and "login.example.com" in everything
    for text in (minimal, everything):
        assert "<no value>" not in text and "\n\n\n" not in text, text
    print("notes: say what to do next")


def check_documentation():
    """README.md has every value with its default, and no other."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def leaves(table, schema_here, at=""):
        for key, value in table.items():
            here = schema_here["properties"][key]
            name = here.get("$ref", "").rpartition("/")[2]
            here = schema["definitions"].get(name, here)
            path = f"{at}{key}"
            # A Secret's name and key are one thing; a role's `pod` is described where `pod` is.
            if value and "properties" in here and name != "secretKey":
                yield from leaves(value, here, path + ".")
            else:
                yield path, value

    expected = dict(leaves(values, schema))
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+) \|$", (CHART / "README.md").read_text(), re.M)
    written = {}
    for path, default, _ in rows:
        for role in ROLES if "<role>" in path else [""]:
            written[path.replace("<role>", role)] = default.strip("`")
    assert written.keys() == expected.keys(), written.keys() ^ expected.keys()
    for path, default in written.items():
        assert default == "see values.yaml" or json.loads(default) == expected[path], f"{path}: {default}"

    def known(table, at=""):
        for key, here in table.get("properties", {}).items():
            yield f"{at}{key}"
            yield from known(here, f"{at}{key}.")

    said = lambda path: path == "global" or any(it == path or it.startswith(path + ".") for it in expected)
    undefined = [path for path in known(schema) if not said(path) and "extraUpstreams" not in path]
    assert not undefined, f"values.schema.json knows {undefined}, values.yaml does not"
    # The examples are ones that work.
    for example in re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.S):
        check_schemas(render({**values_of("minimal"), **yaml.safe_load(example)}), "an example")
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert about["appVersion"] == version, f"appVersion is not {version}"
    print("documentation: every value, with its default")


def check_monitoring(objects):
    """The chart carries the rules and dashboards that stand beside it, also when it is packed."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())
    assert named(objects, "PrometheusRule", "demo-haetae")["spec"] == rules
    beside = {path.name: json.loads(path.read_text()) for path in (ROOT / "deploy/grafana").glob("*.json")}
    maps = [it for it in objects if it["kind"] == "ConfigMap" and "-dashboard-" in it["metadata"]["name"]]
    assert all(it["metadata"]["labels"]["grafana_dashboard"] == "1" for it in maps)
    carried = {name: json.loads(text) for it in maps for name, text in it["data"].items()}
    assert beside and carried == beside, carried.keys() ^ beside.keys()
    (endpoint,) = named(objects, "PodMonitor", "demo-haetae")["spec"]["podMetricsEndpoints"]
    (relabel,) = endpoint["relabelings"]
    jobs = {relabel["replacement"].replace("$1", role) for role in ROLES}
    meant = set(re.findall(r'job="([^"]+)"', json.dumps(rules).replace("\\", "")))
    assert relabel["targetLabel"] == "job" and meant <= jobs, meant - jobs
    for role, template in workloads(objects):
        ports = [it["name"] for it in template["spec"]["containers"][0].get("ports", [])]
        assert role not in ROLES or endpoint["port"] in ports, role
    with tempfile.TemporaryDirectory() as folder:
        with helm.Chart.load(helm.package(CHART, destination=folder)) as packed:
            names = {it["name"] for it in packed.files}
    expected = {"prometheus/rules.yaml"} | {f"grafana/{name}" for name in beside}
    assert expected <= names, expected - names
    print("monitoring: the rules and dashboards of deploy/")


def check_that_the_checks_can_fail(objects):
    """Each check above, shown what it is there for."""

    def fails(check, change):
        broken = copy.deepcopy(objects)
        change(broken)
        try:
            check(broken)
        except (AssertionError, ValueError, KeyError):
            return
        raise SystemExit(f"{check.__name__} takes everything")

    sys.stdout, out = open("/dev/null", "w"), sys.stdout
    pod = lambda them, role: named(them, "Deployment", f"demo-haetae-{role}")["spec"]["template"]["spec"]
    schemas = lambda them: check_schemas(them, "a broken one")
    schemas.__name__ = "check_schemas"
    fails(schemas, lambda them: pod(them, "auth").update(volums=[]))
    fails(schemas, lambda them: pod(them, "auth")["containers"][0].update(ports=[{"containerPort": "x"}]))
    fails(check_references, lambda them: named(them, "Service", "demo-haetae-auth")["spec"]["selector"].update(a="b"))
    fails(check_references, lambda them: pod(them, "auth").update(serviceAccountName="other"))
    fails(check_restricted, lambda them: pod(them, "worker")["securityContext"].update(runAsUser=0))
    fails(check_secrets, lambda them: pod(them, "gateway").update(volumes=pod(them, "auth")["volumes"]))
    fails(check_upstreams, lambda them: them.remove(named(them, "Service", "demo-haetae-auth-pods")))
    fails(check_policies, lambda them: them.remove(named(them, "NetworkPolicy", "demo-haetae-worker")))
    fails(check_policies, lambda them: named(them, "NetworkPolicy", "demo-haetae-auth")["spec"].update(ingress=[]))
    fails(check_stopping, lambda them: pod(them, "auth").update(terminationGracePeriodSeconds=30))
    sys.stdout = out
    print("negative controls: every check can fail")


def check():
    check_lint()
    minimal, everything = render(values_of("minimal")), render(values_of("everything"))
    for case, objects in (("minimal", minimal), ("everything", everything)):
        check_schemas(objects, case)
        check_references(objects)
        check_restricted(objects)
        check_secrets(objects)
        check_upstreams(objects)
        check_stopping(objects)
    check_policies(minimal)
    check_monitoring(everything)
    check_rollout()
    check_overrides()
    check_refusals()
    check_notes()
    check_documentation()
    check_that_the_checks_can_fail(minimal)


match sys.argv[1:]:
    case ["check"]:
        check()
    case ["pods", values]:
        json.dump(pods(json.loads(values) if values.startswith("{") else values_of(values)), sys.stdout)
    case _:
        sys.exit(__doc__)
