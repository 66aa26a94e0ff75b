"""The README's way to add the sidecar, done to the chart that `helm create` makes."""

import re

import manifests
from render import ROOT, STAGE, helm

HEADING = "## Add it to your chart"
MOST_LINES = 9


def judge(charts):
    problems = []
    block = lines()
    count = sum(len(added) for added in block.values())
    if count > MOST_LINES:
        problems.append(f"{count} lines")
    helm("create", STAGE / "shop")
    for file, added in block.items():
        add(STAGE / "shop" / file, added)
    helm("dependency", "update", "--skip-refresh", STAGE / "shop")
    problems += charts.lint("shop")
    rendered, error = charts.render("shop")
    if error:
        return problems + [error]
    found = manifests.read(rendered)
    (pod,) = manifests.pods(found)
    (sidecar,) = pod["initContainers"]
    ports = {m["spec"]["ports"][0]["targetPort"] for m in found if m["kind"] == "Service"}
    if sidecar["name"] != "onceward" or ports != {8080}:
        problems.append(f"{sidecar['name']} is reached at {ports}")
    problems += graced(pod, sidecar)
    return problems + tuned(charts, sidecar)


def graced(pod, sidecar):
    """Kubernetes waits for longer than leaving and draining take."""
    grace = pod.get("terminationGracePeriodSeconds", 30)
    leave = int(sidecar["lifecycle"]["preStop"]["exec"]["command"][-1].rstrip("s"))
    drain = int(re.search(r"`DRAIN_TIMEOUT` \| `(\d+)s`", (ROOT / "README.md").read_text())[1])
    return [] if grace > leave + drain else [f"{grace} s of grace for {leave} + {drain} s"]


def tuned(charts, before):
    """A lock TTL is one value."""
    rendered, _ = charts.render("shop", sets=['onceward.config.lockTtl="45s"'])
    (pod,) = manifests.pods(manifests.read(rendered))
    (after,) = pod["initContainers"]
    changed = [entry for entry in after["env"] if entry not in before["env"]]
    wanted = [{"name": "ONCEWARD_LOCK_TTL", "value": "45s"}]
    return [] if changed == wanted else [f"lockTtl=45s changed {changed}"]


def lines():
    """What the README says to add, by file."""
    section = (ROOT / "README.md").read_text().split(f"{HEADING}\n")[1].split("\n## ")[0]
    block = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)[1]
    files, added = {}, None
    for line in block.splitlines():
        if named := re.match(r"# ([\w./]+)", line):
            added = files.setdefault(named[1], [])
        else:
            added.append(line)
    return files


def add(file, added):
    """At the end; in the pod's spec; or instead of a line with that key."""
    text = file.read_text() if file.exists() else ""
    key = added[0].split(":")[0] + ":"
    if file.name == "deployment.yaml":
        text = text.replace("      containers:\n", "\n".join(added) + "\n      containers:\n")
    elif re.search(f"^{key}", text, re.MULTILINE):
        text = re.sub(f"^{key}.*$", added[0], text, flags=re.MULTILINE)
    else:
        text += "\n" + "\n".join(added) + "\n"
    file.write_text(text)
