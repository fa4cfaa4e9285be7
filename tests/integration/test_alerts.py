"""The alerts and the dashboard: promtool accepts them, and they use only what the program serves."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from controller.observe.metrics import Metrics
from model.refusal import RefusalReason
from tests.support.processes import REPOSITORY
from tests.support.tools import run_tool

PROMETHEUS = REPOSITORY / "manifests/prometheus"
ALERTS = PROMETHEUS / "alerts.yml"
DASHBOARD = REPOSITORY / "manifests/grafana/wharfinger.json"
RUNBOOK = REPOSITORY / "docs/runbook.md"

EXPECTED_ALERTS = {
    "WharfingerReconcileStale",
    "WharfingerHangs",
    "WharfingerDown",
    "WharfingerRestarts",
    "WharfingerClockSkew",
    "WharfingerDockerUnreachable",
    "WharfingerRegistryUnreachable",
    "WharfingerOwnerConflict",
    "WharfingerInternalError",
    "WharfingerOperationsFailing",
    "WharfingerOutOfStep",
    "WharfingerDrift",
    "WharfingerContainersUnreadable",
    "WharfingerDeletesHeldBack",
    "WharfingerConflicts",
    "WharfingerPortsRefused",
    "WharfingerDrainedForLong",
}

#: The operators of expressions that are words.
OPERATORS = {"and", "or", "unless", "offset"}

#: The metrics that Prometheus itself adds for each target.
PROMETHEUS_OWN = {"up"}


def alerts() -> dict[str, str]:
    """Return the text of each alert's rule, by name."""
    parts = re.split(r"^ +- alert: (\w+)$", ALERTS.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def field(rule: str, name: str) -> str:
    """Return a field of a rule that is on one line."""
    (found,) = re.findall(rf"^ +{name}: (.+)$", rule, re.MULTILINE)
    return str(found)


def expression(rule: str) -> str:
    """Return the expression of a rule, in one line."""
    (found,) = re.findall(r"^ {8}expr: (?:>-\n)?((?:.+\n(?= {10}))*.+)$", rule, re.MULTILINE)
    return " ".join(found.split())


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels."""
    return list(json.loads(DASHBOARD.read_text())["panels"])


def targets() -> list[dict[str, Any]]:
    """Return the queries of the dashboard's panels."""
    return [target for panel in panels() for target in panel.get("targets", [])]


def expressions() -> list[str]:
    """Return every expression of the alerts and of the dashboard."""
    return [expression(rule) for rule in alerts().values()] + [target["expr"] for target in targets()]


def served() -> set[str]:
    """Return the names of the series that the program serves."""
    return {sample.name for family in Metrics("etcd").registry.collect() for sample in family.samples}


def label_values(name: str) -> set[str]:
    """Return the values that a label has in what the program serves."""
    families = Metrics("etcd").registry.collect()
    return {sample.labels[name] for family in families for sample in family.samples if name in sample.labels}


def metrics_in(expression: str) -> set[str]:
    """Return the names of the metrics in an expression: all words but functions, operators and those in brackets."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|without|on|ignoring) *\([^)]*\)", " ", expression)
    return {word for word, call in re.findall(r"\b([a-z_]+)\b( *\()?", bare) if not call} - OPERATORS


def seconds(duration: str) -> int:
    """Return the seconds of a duration such as ``2m15s``."""
    return sum(int(number) * {"m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+)([ms])", duration))


def promtool(*argv: str) -> tuple[int, str]:
    """Run promtool in the folder of the files that it checks."""
    return run_tool("prometheus", "promtool", *argv, cwd=PROMETHEUS)


def test_promtool_accepts_the_shipped_configuration() -> None:
    """promtool accepts the shipped configuration with the rule file that it names."""
    code, said = promtool("check", "config", "prometheus.yml")
    assert code == 0, said


def test_promtool_accepts_every_shipped_rule() -> None:
    """promtool accepts the rules, and finds as many as the other tests here, so that these check all of them."""
    code, said = promtool("check", "rules", "alerts.yml")
    assert code == 0, said
    assert f"{len(alerts())} rules found" in said
    assert set(alerts()) == EXPECTED_ALERTS


def test_alerts_fire_in_exactly_the_cases_that_alerts_test_lists() -> None:
    """Every alert fires, or does not fire, in each case of alerts_test.yml."""
    code, said = promtool("test", "rules", "alerts_test.yml")
    assert code == 0, said


def test_every_alert_has_a_case_that_fires_it_and_a_case_that_does_not() -> None:
    """alerts_test.yml has a case in which each alert fires, and one in which it does not."""
    cases = re.split(r"^ +- eval_time: ", (PROMETHEUS / "alerts_test.yml").read_text(), flags=re.MULTILINE)
    seen = {(field(case, "alertname"), "exp_alerts:" in case) for case in cases[1:]}
    assert seen == set(itertools.product(alerts(), (True, False)))


@pytest.mark.parametrize("name", sorted(EXPECTED_ALERTS))
def test_every_alert_is_tested_just_before_it_fires(name: str) -> None:
    """alerts_test.yml has a moment at which the alert does not fire, and fires in the next evaluation."""
    text = (PROMETHEUS / "alerts_test.yml").read_text()
    found = []
    for case in text.split("  - name: ")[1:]:
        (interval,) = (seconds(each) for each in re.findall(r"^    interval: (\w+)$", case, re.MULTILINE))
        checks = re.findall(rf"eval_time: (\w+)\n +alertname: {name}\n( +exp_alerts:)?", case)
        moments = {seconds(moment): bool(expected) for moment, expected in checks}
        found += [each for each in moments if moments[each] and moments.get(each - interval) is False]
    assert found


@pytest.mark.parametrize("name", sorted(EXPECTED_ALERTS))
def test_every_alert_has_a_severity_a_summary_a_description_and_a_runbook_section(name: str) -> None:
    """Each alert has a severity, a summary with the instance, a description, and a section in the runbook that
    exists."""
    rule = alerts()[name]
    assert field(rule, "severity") in {"critical", "warning"}
    assert "$labels.instance" in field(rule, "summary")
    assert "description:" in rule
    assert field(rule, "runbook_url") == f"docs/runbook.md#{name.lower()}"
    assert re.search(rf"^## {name}$", RUNBOOK.read_text(), re.MULTILINE)


def test_the_page_of_the_metrics_lists_every_alert() -> None:
    """Each has a row there, in the order of the rules."""
    page = (REPOSITORY / "docs/metrics.md").read_text()
    assert re.findall(r"^\| \[(\w+)\]\(runbook\.md#", page, re.MULTILINE) == list(alerts())


def test_alerts_and_dashboard_use_only_metrics_that_exist() -> None:
    """Every metric that an alert or the dashboard uses is served from the program's start."""
    asked = set().union(*(metrics_in(expression) for expression in expressions()))
    assert asked - served() - PROMETHEUS_OWN == set()
    assert "wharfinger_passes_total" in asked


def test_alerts_and_dashboard_use_only_label_values_that_exist() -> None:
    """Every label value that they select exists: a misspelt one would match nothing, for ever."""
    matchers = re.findall(r'(\w+)(=~|!~|!=|=)"([^"$]+)"', " ".join(expressions()))
    asked = {(name, value) for name, _, values in matchers for value in values.split("|") if name != "job"}
    assert {(name, value) for name, value in asked if value not in label_values(name)} == set()
    assert ("result", "engine-error") in asked


def test_the_clocks_of_agent_and_prometheus_are_compared_by_one_alert_alone() -> None:
    """Everywhere else, an agent whose clock is wrong would look stuck for ever, or an outage would not show."""
    compare = re.compile(r"\b(?:time\(\)|timestamp\()")
    assert [each for each in expressions() if compare.search(each)] == [expression(alerts()["WharfingerClockSkew"])]


def test_a_refusal_of_every_reason_fires_exactly_one_alert() -> None:
    """For each reason of a refusal, exactly one alert selects it."""
    selectors = re.findall(r'wharfinger_entries_refused\{reason([=!])~"([^"]+)"\}', " ".join(expressions()))
    selected = [
        reason
        for operator, pattern in selectors
        for reason in label_values("reason") & {each.value for each in RefusalReason}
        if bool(re.fullmatch(pattern, reason)) is (operator == "=")
    ]
    assert sorted(selected) == sorted(each.value for each in RefusalReason)


def test_the_runbook_names_only_metrics_and_log_messages_that_exist() -> None:
    """Every metric in the runbook is served, and every log message that it quotes is in the program."""
    text = RUNBOOK.read_text()
    assert set(re.findall(r"\bwharfinger_\w*[a-z]\b", text)) <= served()
    program = "".join(file.read_text() for file in REPOSITORY.glob("controller/**/*.py"))
    assert [said for said in re.findall(r'`"([^"`]+)"`', text) if f'"{said}"' not in program] == []


def test_promtool_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    """promtool accepts each query of the dashboard as a rule, with values for Grafana's variables."""
    readable = [target["expr"].replace("$__rate_interval", "1m") for target in targets()]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(readable)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    code, said = promtool("check", "rules", str(file))
    assert code == 0, said
    assert f"{len(rules)} rules found" in said


def test_every_query_of_the_dashboard_uses_the_chosen_data_source_job_and_instances() -> None:
    """The dashboard has no fixed data source, job or instance: its variables choose them in every query."""
    variables = {each["name"]: each["type"] for each in json.loads(DASHBOARD.read_text())["templating"]["list"]}
    assert variables == {"datasource": "datasource", "job": "query", "instance": "query"}
    assert {target["datasource"]["uid"] for target in targets()} == {"${datasource}"}
    assert [each["expr"] for each in targets() if 'job="$job", instance=~"$instance"' not in each["expr"]] == []


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    """Each panel has its own place on the grid of 24 columns, an id of its own, and a description."""
    places = [panel["gridPos"] for panel in panels()]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert [panel["title"] for panel in panels() if panel["type"] != "row" and not panel["description"]] == []
