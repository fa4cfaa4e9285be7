"""A real Prometheus scrapes running agents, with the shipped rules and the shipped dashboard's queries."""

from __future__ import annotations

import json
import re
import shutil
import signal
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import Agent
from tests.support.host import Host
from tests.support.processes import REPOSITORY, Child, free_ports
from tests.support.tools import run_tool
from tests.support.waiting import wait_until

SHIPPED = REPOSITORY / "manifests/prometheus"
DASHBOARD = REPOSITORY / "manifests/grafana/wharfinger.json"

#: Seconds from the last successful pass to the alert: a window of 90 s, 30 s of "for", and a scrape and an evaluation
#: or two.
STALE = 90.0 + 30.0 + 15.0

#: The alerts about an etcd that cannot be read.
UNREACHABLE = {"WharfingerReconcileStale", "WharfingerRegistryUnreachable"}

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Labels = dict[str, str]


class Prometheus:
    """A Prometheus with the shipped configuration and rules. Only the targets are replaced, and it scrapes and
    evaluates every second instead of every 15."""

    def __init__(self, folder: Path, *agents: Agent) -> None:
        shutil.copy(SHIPPED / "alerts.yml", folder)
        config = folder / "prometheus.yml"
        config.write_text(_for_agents((SHIPPED / "prometheus.yml").read_text(), agents))
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        flags = {
            "config.file": config,
            "storage.tsdb.path": folder / "tsdb",
            "web.listen-address": self.address,
            "log.level": "warn",
        }
        self._child = Child(["prometheus", *(f"--{name}={value}" for name, value in flags.items())], folder / "log")

    def start(self) -> Prometheus:
        """Start it, and wait until it serves."""
        self._child.start()
        wait_until(lambda: self._ready() or not self._child.running, 30, "Prometheus")
        assert self._child.running, self._child.log()
        return self

    def _ready(self) -> bool:
        try:
            with _opener.open(f"http://{self.address}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def api(self, path: str, **query: str) -> Any:
        """Return the data of an answer of its API."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with _opener.open(url, timeout=10) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> dict[str, float]:
        """Return the present values of an expression, by instance; empty if it has none."""
        result = self.api("query", query=expression)["result"]
        return {each["metric"].get("instance", ""): float(each["value"][1]) for each in result}

    def firing(self, name: str) -> dict[str, Labels]:
        """Return the annotations of the alerts with this name that fire, by instance."""
        alerts = self.api("alerts")["alerts"]
        mine = [each for each in alerts if each["labels"]["alertname"] == name and each["state"] == "firing"]
        return {each["labels"]["instance"]: each["annotations"] for each in mine}

    def close(self) -> None:
        """End it."""
        self._child.kill()


def _for_agents(config: str, agents: tuple[Agent, ...]) -> str:
    """Return the shipped configuration with these agents as targets and with short intervals."""
    targets = json.dumps([agent.listen for agent in agents])
    config, replaced = re.subn(r"targets: \[.*\]", f"targets: {targets}", config)
    assert replaced == 1
    config, replaced = re.subn(r"_interval: 15s", "_interval: 1s", config)
    assert replaced == 2
    return config


Watch = Callable[..., Prometheus]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """A function that starts a Prometheus for the agents that it is given."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    folder = tmp_path / "prometheus"
    folder.mkdir()
    started: list[Prometheus] = []

    def start(*agents: Agent) -> Prometheus:
        started.append(Prometheus(folder, *agents))
        return started[-1].start()

    yield start
    for each in started:
        each.close()


@pytest.fixture
def lonely_agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent that has never reached an etcd: nobody listens at its endpoint."""
    (port,) = free_ports(1)
    args = ["--hostname", "lonely", f"etcd://127.0.0.1:{port}/services"]
    agent = Agent(f"unix://{tmp_path}/no.sock", *args, log_path=tmp_path / "lonely.log").start()
    yield agent
    agent.kill9()


def dashboard_queries(instance: str) -> list[str]:
    """Return the dashboard's queries for this instance."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    values = {"$job": "wharfinger", "$instance": instance, "$__rate_interval": "30s"}
    for variable, value in values.items():
        expressions = [expression.replace(variable, value) for expression in expressions]
    return expressions


def test_promtool_accepts_the_metrics_of_a_running_agent(host: Host) -> None:
    """promtool has no complaint about the metrics that a running agent serves."""
    host.start("one")
    status, body = host.agent().wait_ready().get("/metrics")
    assert status == 200
    assert run_tool("prometheus", "promtool", "check", "metrics", stdin=body) == (0, "")


def test_prometheus_evaluates_the_rules_and_the_queries_of_the_dashboard(host: Host, watch: Watch) -> None:
    """The rules load and evaluate, no alert is pending or fires, and every query of the dashboard has an answer."""
    host.start("one", "two")
    agent = host.agent().wait_ready()
    prometheus = watch(agent)
    wait_until(lambda: prometheus.query("wharfinger_entries_in_sync") == {agent.listen: 2.0}, 15, "the first scrapes")
    (group,) = prometheus.api("rules")["groups"]
    wait_until(lambda: {rule["health"] for rule in prometheus.api("rules")["groups"][0]["rules"]} == {"ok"}, 10)
    assert len(group["rules"]) == (SHIPPED / "alerts.yml").read_text().count("- alert: ")
    assert prometheus.api("alerts")["alerts"] == []
    for query in dashboard_queries(agent.listen):
        wait_until(partial(prometheus.query, query), 15, f"an answer to {query}")


def test_the_stale_alert_fires_when_etcd_is_stopped(breakable_host: Host, lonely_agent: Agent, watch: Watch) -> None:
    """The shipped rules fire, after their full time, for an agent that lost its etcd and for one that never had any.
    They end when etcd is back. A SIGHUP ends the back-off early."""
    host = breakable_host
    host.start("one")
    agent = host.agent().wait_ready()
    prometheus = watch(agent, lonely_agent)
    wait_until(lambda: len(prometheus.query("up == 1")) == 2, 15, "the first scrapes")
    # Prometheus has to see that passes have succeeded, or the agent is like the one that never had an etcd.
    succeeds = 'sum by (instance) (increase(wharfinger_passes_total{result="success"}[90s])) > 0'
    wait_until(lambda: prometheus.query(succeeds).keys() == {agent.listen}, 15, "a pass between two scrapes")
    host.etcd.stop()
    wait_until(lambda: _unreachable(prometheus, lonely_agent) == UNREACHABLE, 60, "the lonely agent's alerts")
    assert _unreachable(prometheus, agent) == set()
    wait_until(lambda: _unreachable(prometheus, agent) == UNREACHABLE, STALE, "the alerts")
    assert agent.get("/readyz")[0] == 503
    host.etcd.start()
    agent.signal(signal.SIGHUP)
    wait_until(lambda: not _unreachable(prometheus, agent), 20, "the alerts to end")
    assert prometheus.firing("WharfingerHangs") == prometheus.firing("WharfingerClockSkew") == {}


def _unreachable(prometheus: Prometheus, agent: Agent) -> set[str]:
    """Return which of the alerts about an etcd that cannot be read fire for this agent."""
    return {alert for alert in UNREACHABLE if agent.listen in prometheus.firing(alert)}


def test_key_delays_and_requests_are_measured_on_a_real_engine(host: Host) -> None:
    """What the agent finds at its start does not count. A start, a stop and a kill do, each in less than the time
    between two passes, and each request to the engine and to etcd has its endpoint."""
    host.start("before")
    agent = host.agent(interval=30).wait_ready()
    host.start("stopped", "killed")
    host.wait_for(host.expected())
    host.engine.docker("stop", "--time", "1", "stopped")
    host.engine.docker("kill", "killed")
    host.wait_for(host.expected())
    wait_until(lambda: [_delays(agent, "count", each) for each in ("start", "end")] == [2, 2], 5, "four delays")
    assert [0 < _delays(agent, "sum", each) < 4 for each in ("start", "end")] == [True, True]
    assert agent.total("endpoint_requests_total", endpoint=f"http://{host.etcd.endpoint}", registry="etcd") > 0
    assert agent.total("endpoint_requests_total", endpoint=host.engine.socket_url, registry="") > 0
    assert agent.total("build_info", owner=host.owner) == 1
    assert agent.drift() == dict.fromkeys(agent.drift(), 0)


def _delays(agent: Agent, of: str, phase: str) -> float:
    """Return the number (``count``) or the sum of the key delays of a phase."""
    return agent.total(f"key_delay_seconds_{of}", phase=phase)
