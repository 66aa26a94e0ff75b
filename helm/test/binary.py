"""Whether the sidecar itself takes what a pod would hand it: `onceward check` on the same variables."""

import os
import pathlib
import subprocess
import tempfile

from manifests import pods
from render import ROOT

ONCEWARD = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug/onceward"
# What stands in the Secrets that a scenario names, by the end of their variable's name.
SECRETS = {"REDIS_URL": "rediss://:word@redis:6379", "ADMIN_TOKEN": "token-of-a-test", "ADMIN_READ_TOKEN": "another", "SECRET": "5" * 64, "OTEL_EXPORTER_OTLP_HEADERS": "x-key=word"}


def judge(manifests):
    problems = []
    for pod in pods(manifests):
        for container in pod["initContainers"]:
            if container["name"] == "onceward":
                problems += check(container, manifests)
    return problems


def check(container, manifests):
    with tempfile.TemporaryDirectory() as folder:
        variables = dict(variable(entry, manifests, pathlib.Path(folder)) for entry in container["env"])
        said = subprocess.run([ONCEWARD, "check"], env=variables, capture_output=True, text=True)
    problems = []
    # Beside what it refuses it warns of what means nothing or cannot be followed.
    if said.returncode or said.stderr:
        problems.append(said.stderr)
    for name, value in variables.items():
        if value == "" and said.stdout and f"{name}=\n" not in said.stdout:
            problems.append(f"{name} is not empty")
    return problems


def variable(entry, manifests, folder):
    name = entry["name"]
    if "valueFrom" in entry:
        return name, SECRETS[name.removeprefix("ONCEWARD_")]
    if name.endswith("_FILE") and (secret := SECRETS.get(name.removeprefix("ONCEWARD_").removesuffix("_FILE"))):
        return name, write(folder, name, secret)
    if name.endswith("_FILE"):
        return name, str(certificate(folder) if "KEY" not in name else certificate(folder, "key"))
    if name == "ONCEWARD_ROUTES":
        routes = [m["data"]["routes.json"] for m in manifests if "routes.json" in m.get("data", {})]
        return name, write(folder, name, routes[0] if routes else '[{"name": "pay", "path": "/pay"}]')
    return name, entry["value"]


def certificate(folder, part="crt"):
    """A certificate of one's own, or its key."""
    if not (folder / "tls.crt").exists():
        words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=redis"
        files = ["-keyout", folder / "tls.key", "-out", folder / "tls.crt"]
        subprocess.run([*words.split(), *files], check=True, capture_output=True)
    return folder / f"tls.{part}"


def write(folder, name, text):
    file = folder / name
    file.write_text(text)
    return str(file)
