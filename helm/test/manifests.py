"""Whether Kubernetes would take what was rendered: its own schemas, in strict mode."""

import json
import pathlib

import jsonschema
import kubernetes_validate
import yaml

# The oldest and the newest release a chart says it runs on.
RELEASES = {"onceward-example": ["1.30.0", "1.37.0"], "onceward-injection": ["1.36.0", "1.37.0"]}

# What Kubernetes has no schema for: the fields of the operator's kinds that we use.
OPERATOR = json.loads(pathlib.Path(__file__).with_name("operator.json").read_text())


def read(rendered):
    return [document for document in yaml.safe_load_all(rendered) if document]


def judge(manifests, chart):
    problems = []
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        try:
            if schema := OPERATOR.get(manifest["kind"]):
                jsonschema.validate(manifest, schema)
                continue
            for release in RELEASES[chart]:
                kubernetes_validate.validate(manifest, release, strict=True)
        except (jsonschema.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            problems.append(f"{name}: {error.message}")
    if chart == "onceward-example":
        problems += ways_past(manifests)
    return problems + [problem for pod in pods(manifests) for problem in confined(pod)]


def ways_past(manifests):
    """Ways to the payment container that do not lead through the sidecar."""
    problems = []
    (pod,) = pods(manifests)
    sidecar, payment = containers(pod)
    data, admin = (port["containerPort"] for port in sidecar["ports"])
    if "ports" in payment or "127.0.0.1:8081" not in payment["args"]:
        problems.append("the payment container listens for more than the sidecar")
    for service in (m for m in manifests if m["kind"] == "Service"):
        if [port["targetPort"] for port in service["spec"]["ports"]] != [data]:
            problems.append("the Service leads past the sidecar")
    (policy,) = (m["spec"] for m in manifests if m["kind"] == "NetworkPolicy")
    passed = [[port["port"] for port in rule.get("ports", [])] for rule in policy["ingress"]]
    if passed != [[data], [admin]] or policy["policyTypes"] != ["Ingress"]:
        problems.append(f"the NetworkPolicy passes {passed}")
    return problems


def pods(manifests):
    """The spec of every pod."""
    return [m["spec"]["template"]["spec"] for m in manifests if m["kind"] == "Deployment"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def confined(pod):
    """What the pod security standard `restricted` would refuse, and what a volume is short of."""
    problems = []
    for container in containers(pod):
        security = container.get("securityContext", {})
        wanted = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        if security != wanted:
            problems.append(f"{container['name']}: securityContext {security}")
        mounts = container.get("volumeMounts", [])
        mounted = {mount["name"] for mount in mounts}
        there = {volume["name"] for volume in pod.get("volumes") or []}
        if mounted - there:
            problems.append(f"{container['name']}: no volume {mounted - there}")
        if any("subPath" in mount for mount in mounts):
            problems.append(f"{container['name']}: a subPath is never updated")
    return problems
