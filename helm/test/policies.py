"""Whether the admission policies do what they say, played through on pods."""

import copy

import cel
import kubernetes_validate
from manifests import confined

PAYMENT = {"name": "payment", "image": "payment:1"}
OTHER = {"name": "migrate", "image": "migrate:1"}
PODS = {
    "bare": {"containers": [PAYMENT]},
    "with lists of its own": {
        "containers": [PAYMENT],
        "initContainers": [OTHER],
        "volumes": [{"name": "own", "emptyDir": {}}],
    },
}
# Pods that carry the label and must be refused.
FALSE_FRIENDS = {
    "no sidecar": [],
    "another container": [{"name": "onceward", "image": "else:1", "restartPolicy": "Always"}],
    "one that runs once": [{"name": "onceward", "image": "IMAGE", "restartPolicy": "OnFailure"}],
    "one that ends": [{"name": "onceward", "image": "IMAGE"}],
}


def judge(manifests):
    kinds = {manifest["kind"]: manifest for manifest in manifests}
    if "MutatingAdmissionPolicy" not in kinds:
        return []
    try:
        return bindings(kinds) + play(kinds["MutatingAdmissionPolicy"], kinds["ValidatingAdmissionPolicy"])
    except AssertionError as error:
        return [str(error)]


def play(inject, require):
    problems = []
    for name, spec in PODS.items():
        pod = labelled(inject, spec)
        if accepts(require, pod):
            problems.append(f"{name}: accepted without the sidecar")
        injected = mutate(inject, pod)
        problems += [f"{name}: {line}" for line in judge_pod(injected, spec)]
        if not accepts(require, injected):
            problems.append(f"{name}: refused with the sidecar")
        if mutate(inject, injected) != injected:
            problems.append(f"{name}: a second sidecar")
    sidecar = mutate(inject, labelled(inject, PODS["bare"]))["spec"]["initContainers"][0]
    for name, containers in FALSE_FRIENDS.items():
        containers = [{**c, "image": c["image"].replace("IMAGE", sidecar["image"])} for c in containers]
        pod = labelled(inject, {"containers": [PAYMENT], "initContainers": containers})
        if accepts(require, pod):
            problems.append(f"{name}: accepted")
    return problems


def bindings(kinds):
    problems = []
    for kind in ("MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"):
        if kinds[f"{kind}Binding"]["spec"]["policyName"] != kinds[kind]["metadata"]["name"]:
            problems.append(f"{kind} is bound to nothing")
    return problems


def labelled(policy, spec):
    labels = policy["spec"]["matchConstraints"]["objectSelector"]["matchLabels"]
    metadata = {"name": "p", "namespace": "payments", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(spec)}


def mutate(policy, pod):
    pod = copy.deepcopy(pod)
    request = {"operation": "CREATE"}
    conditions = policy["spec"]["matchConditions"]
    if all(cel.true(c["expression"], object=pod, request=request) for c in conditions):
        for mutation in policy["spec"]["mutations"]:
            for patch in cel.patches(mutation["jsonPatch"]["expression"], pod):
                cel.apply(pod, patch)
    return pod


def accepts(policy, pod):
    """Whether the policy lets a new pod, or a pod that newly has the label, through."""
    verdicts = set()
    bare = copy.deepcopy(pod)
    del bare["metadata"]["labels"]
    for operation, old in (("CREATE", {}), ("UPDATE", bare)):
        request = {"operation": operation}
        asked = {"object": pod, "oldObject": old, "request": request}
        for condition in policy["spec"]["matchConditions"]:
            assert cel.true(condition["expression"], **asked), f"{operation} is not looked at"
        verdicts.add(all(cel.true(v["expression"], **asked) for v in policy["spec"]["validations"]))
    again = {"object": pod, "oldObject": pod, "request": {"operation": "UPDATE"}}
    looked = all(cel.true(c["expression"], **again) for c in policy["spec"]["matchConditions"])
    assert not looked, "a pod that has the label already is looked at again"
    (verdict,) = verdicts
    return verdict


def judge_pod(pod, before):
    problems = []
    try:
        kubernetes_validate.validate(pod, "1.37.0", strict=True)
    except kubernetes_validate.ValidationError as error:
        problems.append(error.message)
    spec = pod["spec"]
    first, *others = spec["initContainers"]
    if (first["name"], first["restartPolicy"]) != ("onceward", "Always"):
        problems.append("the sidecar is not the first to start")
    if others != before.get("initContainers", []) or spec["containers"] != before["containers"]:
        problems.append("other containers were changed")
    kept = [volume for volume in spec.get("volumes", []) if not volume["name"].startswith("onceward-")]
    if kept != before.get("volumes", []):
        problems.append("other volumes were changed")
    return problems + confined({"containers": [first], "volumes": spec.get("volumes", [])})
