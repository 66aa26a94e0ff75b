"""Lints, renders and judges the charts; --write writes the golden files anew.

A scenario is a file of values in a chart's ci/ folder. What it renders to stands beside it, so that
a review sees what a change of a template does to a pod.
"""

import sys

import binary
import manifests
import policies
import readme
import refusals
import render


def main():
    write = sys.argv[1:] == ["--write"]
    charts = render.Charts()
    problems = []
    passed = 0

    def check(name, found):
        nonlocal passed
        problems.extend(f"{name}: {line}" for line in found)
        passed += not found

    check("Dockerfile", render.hadolint())
    for chart in charts.names:
        check(chart, charts.lint(chart))
    for scenario in charts.scenarios():
        rendered, error = charts.render(scenario.chart, [scenario.values])
        if error:
            check(scenario.name, [error])
            continue
        if write:
            scenario.golden.write_text(rendered)
        check(f"{scenario.name}, lint", charts.lint(scenario.chart, scenario.values))
        check(f"{scenario.name}, golden file", scenario.differences(rendered))
        found = manifests.read(rendered)
        check(f"{scenario.name}, schemas", manifests.judge(found, scenario.chart))
        check(f"{scenario.name}, onceward check", binary.judge(found))
        check(f"{scenario.name}, policies", policies.judge(found))
    for name, found in refusals.judge(charts):
        check(f"refused: {name}", found)
    check("README", readme.judge(charts))

    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"charts: {passed} passed, {len(problems)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
