"""Charts, their scenarios, and what Helm makes of them."""

import difflib
import pathlib
import shutil
import subprocess
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
HELM = ROOT / "target/chart-tools/bin/helm"
HADOLINT = ROOT / "target/chart-tools/python/bin/hadolint"
# Charts are worked on in a copy: Helm puts the library into its users' folders.
STAGE = ROOT / "target/chart-test"
NEWEST = "1.37.0"


@dataclass
class Scenario:
    chart: str
    values: pathlib.Path

    @property
    def name(self):
        return f"{self.chart}/{self.values.stem}"

    @property
    def golden(self):
        return self.values.with_suffix(".golden")

    def differences(self, rendered):
        if not self.golden.exists():
            return [f"{self.golden.relative_to(ROOT)} is missing; make chart-golden writes it"]
        lines = difflib.unified_diff(
            self.golden.read_text().splitlines(), rendered.splitlines(), "golden", "rendered", lineterm=""
        )
        text = "\n".join(lines)
        return [f"{text}\nif that is meant: make chart-golden"] if text else []


class Charts:
    def __init__(self):
        shutil.rmtree(STAGE, ignore_errors=True)
        shutil.copytree(ROOT / "helm", STAGE, ignore=shutil.ignore_patterns("charts", "test"))
        self.names = sorted(path.parent.name for path in STAGE.glob("*/Chart.yaml"))
        self.applications = [name for name in self.names if name != "onceward"]
        for chart in self.applications:
            helm("dependency", "update", "--skip-refresh", STAGE / chart)

    def scenarios(self):
        for chart in self.applications:
            for values in sorted((ROOT / "helm" / chart / "ci").glob("*.yaml")):
                yield Scenario(chart, values)

    def lint(self, chart, values=None):
        more = ["--values", values] if values else []
        code, said = helm("lint", "--strict", "--quiet", STAGE / chart, *more)
        return [said] if code else []

    def render(self, chart, values=(), sets=()):
        """The manifests, and the error where there are none."""
        more = [word for file in values for word in ("--values", file)]
        more += [word for pair in sets for word in ("--set-json", pair)]
        place = ["--namespace", "payments", "--kube-version", NEWEST]
        code, said = helm("template", "pay", STAGE / chart, *place, *more)
        return (None, said) if code else (said, None)


def hadolint():
    """What is wrong with the Dockerfile."""
    done = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True)
    return [done.stdout + done.stderr] if done.returncode else []


def helm(*words):
    done = subprocess.run([HELM, *words], capture_output=True, text=True)
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr
