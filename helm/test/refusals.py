"""Values that cannot work are refused by Helm, in a sentence that says why."""

import json
import pathlib

import yaml

CASES = yaml.safe_load(pathlib.Path(__file__).with_name("refusals.yaml").read_text())


def judge(charts):
    for case in CASES:
        sets = [f"onceward.{name}={json.dumps(value)}" for name, value in case["set"].items()]
        chart = case.get("chart", "onceward-example")
        rendered, error = charts.render(chart, sets=sets)
        said = " ".join((error or "").split())
        problems = []
        if rendered:
            problems.append("was rendered")
        elif case["says"] not in said:
            problems.append(f"says {said}")
        # An error must not repeat what it refuses to see in the open.
        elif "s3cret" in said:
            problems.append(f"repeats a secret: {said}")
        yield case["says"], problems
