"""The alerts and the dashboard, checked with promtool and held against what the program serves."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from controller.observe.metrics import Metrics
from tests.support.processes import REPOSITORY
from tests.support.tools import run_tool

PROMETHEUS = REPOSITORY / "manifests/prometheus"
ALERTS = PROMETHEUS / "alerts.yml"
DASHBOARD = REPOSITORY / "manifests/grafana/wharfinger.json"
RUNBOOK = REPOSITORY / "docs/runbook.md"

EXPECTED_ALERTS = {
    "WharfingerReconcileStale",
    "WharfingerDockerUnreachable",
    "WharfingerRegistryUnreachable",
    "WharfingerOperationsFailing",
    "WharfingerDeletesHeldBack",
    "WharfingerConflicts",
    "WharfingerDown",
}

#: What Prometheus adds to what a target serves.
PROMETHEUS_OWN = {"up"}


def alerts() -> dict[str, str]:
    """The text of each alert's rule, by name."""
    parts = re.split(r"^ +- alert: (\w+)$", ALERTS.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def field(rule: str, name: str) -> str:
    """A field of a rule that is on one line."""
    (found,) = re.findall(rf"^ +{name}: (.+)$", rule, re.MULTILINE)
    return str(found)


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels."""
    return list(json.loads(DASHBOARD.read_text())["panels"])


def targets() -> list[dict[str, Any]]:
    """The queries of the dashboard's panels."""
    return [target for panel in panels() for target in panel.get("targets", [])]


def expressions() -> list[str]:
    """Every expression of the alerts and of the dashboard."""
    return [field(rule, "expr") for rule in alerts().values()] + [target["expr"] for target in targets()]


def served() -> set[str]:
    """The names of the series that the program serves."""
    return {sample.name for family in Metrics("etcd").registry.collect() for sample in family.samples}


def label_values(name: str) -> set[str]:
    """The values that a label has in what the program serves."""
    families = Metrics("etcd").registry.collect()
    return {sample.labels[name] for family in families for sample in family.samples if name in sample.labels}


def metrics_in(expression: str) -> set[str]:
    """The names of the metrics in an expression: all words but functions, operators and those in brackets."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|without|on|ignoring) *\([^)]*\)", " ", expression)
    return {word for word, call in re.findall(r"\b([a-z_]+)\b( *\()?", bare) if not call}


def promtool(*argv: str) -> tuple[int, str]:
    """promtool, in the folder of what it checks."""
    return run_tool("prometheus", "promtool", *argv, cwd=PROMETHEUS)


def test_prometheus_takes_the_configuration() -> None:
    """With the rules that it names."""
    code, said = promtool("check", "config", "prometheus.yml")
    assert code == 0, said


def test_prometheus_takes_every_rule() -> None:
    """As many as the other tests here find, so that none is left out of them."""
    code, said = promtool("check", "rules", "alerts.yml")
    assert code == 0, said
    assert f"{len(alerts())} rules found" in said
    assert set(alerts()) == EXPECTED_ALERTS


def test_alerts_fire_when_they_should() -> None:
    """And not otherwise: the cases of alerts_test.yml."""
    code, said = promtool("test", "rules", "alerts_test.yml")
    assert code == 0, said


def test_every_alert_is_shown_to_fire_and_not_to() -> None:
    """alerts_test.yml has a case for either."""
    cases = re.split(r"^ +- eval_time: ", (PROMETHEUS / "alerts_test.yml").read_text(), flags=re.MULTILINE)
    seen = {(field(case, "alertname"), "exp_alerts:" in case) for case in cases[1:]}
    assert seen == set(itertools.product(alerts(), (True, False)))


@pytest.mark.parametrize("name", sorted(EXPECTED_ALERTS))
def test_every_alert_tells_what_to_do(name: str) -> None:
    """How bad it is, in a line, at length, and a section of the runbook, which there is."""
    rule = alerts()[name]
    assert field(rule, "severity") in {"critical", "warning"}
    assert "$labels.instance" in field(rule, "summary")
    assert "description:" in rule
    assert field(rule, "runbook_url") == f"docs/runbook.md#{name.lower()}"
    assert re.search(rf"^## {name}$", RUNBOOK.read_text(), re.MULTILINE)


def test_alerts_and_dashboard_ask_for_metrics_that_exist() -> None:
    """In what the program serves, from its start."""
    asked = set().union(*(metrics_in(expression) for expression in expressions()))
    assert asked - served() - PROMETHEUS_OWN == set()
    assert "wharfinger_passes_total" in asked


def test_alerts_and_dashboard_ask_for_labels_that_exist() -> None:
    """A misspelt value would match nothing, for ever."""
    matchers = re.findall(r'(\w+)(=~?)"([^"$]+)"', " ".join(expressions()))
    asked = {(name, value) for name, _, values in matchers for value in values.split("|") if name != "job"}
    assert {(name, value) for name, value in asked if value not in label_values(name)} == set()
    assert ("result", "engine-error") in asked


def test_the_runbook_speaks_of_metrics_that_exist() -> None:
    """And of log messages that the program has."""
    text = RUNBOOK.read_text()
    assert set(re.findall(r"\bwharfinger_\w*[a-z]\b", text)) <= served()
    program = "".join(file.read_text() for file in REPOSITORY.glob("controller/**/*.py"))
    assert [said for said in re.findall(r'`"([^"`]+)"`', text) if f'"{said}"' not in program] == []


def test_prometheus_can_read_the_dashboards_queries(tmp_path: Path) -> None:
    """As rules, with a value for each of Grafana's variables."""
    readable = [target["expr"].replace("$__rate_interval", "1m") for target in targets()]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(readable)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    code, said = promtool("check", "rules", str(file))
    assert code == 0, said
    assert f"{len(rules)} rules found" in said


def test_the_dashboard_asks_the_chosen_data_source_about_the_chosen_hosts() -> None:
    """Nobody's own data source is in it."""
    variables = {each["name"]: each["type"] for each in json.loads(DASHBOARD.read_text())["templating"]["list"]}
    assert variables == {"datasource": "datasource", "job": "query", "instance": "query"}
    assert {target["datasource"]["uid"] for target in targets()} == {"${datasource}"}
    assert [each["expr"] for each in targets() if 'job="$job", instance=~"$instance"' not in each["expr"]] == []


def test_the_dashboards_panels_do_not_overlap() -> None:
    """Each has a place on the grid of 24 columns, a number of its own, and says what it shows."""
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
