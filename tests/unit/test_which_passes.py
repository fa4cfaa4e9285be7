"""Passes of an agent that selects, over an engine that changes meanwhile, and with several entries a port."""

from __future__ import annotations

import pytest

from controller.reconcile.one_pass import PassSettings, reconcile
from controller.registry.base import Registry
from controller.source.docker import Engine
from model.layout import PlainLayout
from model.memory import Memory
from model.plan import Action, Change, Reason
from model.report import PassReport, PassResult
from model.rules import AddressRules, HealthRule, Rules
from tests.support.fakes import FakeDocker, FakeTime, inspected
from tests.support.memory_registry import RecordingRegistry

WEB = "/services/nginx/core-01:web:80"
PLACE = "192.0.2.1:8080"


def one_pass(engine: Engine, registry: Registry, **rules: object) -> PassReport:
    """A pass of core-01's agent."""
    wanted = Rules("core-01", AddressRules(ip="192.0.2.1"), **rules)  # type: ignore[arg-type] # any of the fields
    return reconcile(PassSettings(wanted, PlainLayout("/services"), clock=FakeTime().clock), engine, registry, Memory())


def of_entries(report: PassReport) -> list[Change]:
    """What was to be changed besides the owner record."""
    return [change for change in report.plan.changes if change.action is not Action.RECORD]


def selecting(docker: FakeDocker, *filters: tuple[str, str]) -> Engine:
    """An engine that is asked with these filters."""
    return Engine(docker.dial, stopped_too=False, filters=filters)


def test_a_container_that_is_selected_no_more_loses_its_entries() -> None:
    """And no other does."""
    registry = RecordingRegistry()
    engine = selecting(FakeDocker(inspected("web", labels={"public": ""}), inspected("db")), ("label", "public"))
    registry.put("/services/nginx/core-01:db:80", PLACE)
    report = one_pass(engine, registry)
    assert (report.result, registry.keys()) == (PassResult.SUCCESS, {WEB: PLACE})
    assert [change.reason for change in of_entries(report)] == [Reason.FILTERED, Reason.NEW]


def test_a_container_that_is_replaced_between_the_two_lists_keeps_its_entry() -> None:
    """Under the same name, it is in the second list alone, which looks like a delete: all is read again before one."""
    old, new = (inspected(each) | {"Name": "/web"} for each in ("old", "new"))
    docker, registry = FakeDocker(old), RecordingRegistry()
    registry.put(WEB, PLACE)
    docker.then = lambda: setattr(docker, "documents", {"new": new})
    report = one_pass(selecting(docker, ("name", "web")), registry)
    assert (report.result, of_entries(report), registry.keys()) == (PassResult.SUCCESS, [], {WEB: PLACE})
    assert [each for each in docker.asked if each.startswith("list")] == ["list filtered", "list"] * 2


def test_a_filter_that_the_engine_refuses_changes_nothing() -> None:
    """Nobody knows what it would have let through."""
    registry = RecordingRegistry()
    registry.put(WEB, PLACE)
    report = one_pass(selecting(FakeDocker(), ("bogus", "x")), registry)
    assert (report.result, registry.keys()) == (PassResult.ENGINE_ERROR, {WEB: PLACE})
    assert report.problem == "cannot read the Docker engine: it refuses --filter: Invalid filter 'bogus'"


def test_a_container_that_cannot_be_described_keeps_its_entries() -> None:
    """Those of its further bindings, too; selected or not, it is unknown, which is not absent."""
    docker, registry = FakeDocker(inspected("web")), RecordingRegistry()
    docker.errors["inspect web"] = OSError("odd")
    keys = {WEB: PLACE, f"{WEB}:8081": "192.0.2.1:8081", f"{WEB}:10.0.0.2-8082": "10.0.0.2:8082"}
    for key, value in keys.items():
        registry.put(key, value)
    for filters in ((), (("name", "nobody"),)):
        assert one_pass(selecting(docker, *filters), registry).result is PassResult.SUCCESS
        assert registry.keys() == keys


@pytest.mark.parametrize("all_bindings", [True, False])
def test_further_bindings_come_and_go_with_the_flag(all_bindings: bool) -> None:
    """Their entries are this host's by their ids; another host's are let alone."""
    web, registry = inspected("web"), RecordingRegistry()
    web["NetworkSettings"]["Ports"]["80/tcp"] += [
        {"HostIp": address, "HostPort": port} for port in ("8080", "8081") for address in ("0.0.0.0", "::")
    ]
    further, theirs = f"{WEB}:8081", "/services/nginx/core-02:web:80:8081"
    registry.put(theirs, "192.0.2.2:8081")
    registry.put(f"{WEB}:9999", "192.0.2.1:9999")
    one_pass(selecting(FakeDocker(web)), registry, all_bindings=all_bindings)
    expected = {WEB: PLACE, theirs: "192.0.2.2:8081"} | ({further: "192.0.2.1:8081"} if all_bindings else {})
    assert registry.keys() == expected
    one_pass(selecting(FakeDocker(web)), registry)
    assert registry.keys() == {WEB: PLACE, theirs: "192.0.2.2:8081"}


def test_a_health_that_flips_takes_the_entry_along() -> None:
    """An agent that starts anew in between decides the same, as nothing is counted."""
    docker, registry = FakeDocker(inspected("web")), RecordingRegistry()
    engine = selecting(docker)
    for health, keys in (("starting", {}), ("healthy", {WEB: PLACE}), ("unhealthy", {}), ("healthy", {WEB: PLACE})):
        docker.documents["web"] = inspected("web", health=health)
        one_pass(engine, registry, health=HealthRule.HEALTHY)
        assert registry.keys() == keys
        writes = len(registry.writes)
        one_pass(selecting(docker), registry, health=HealthRule.HEALTHY)
        assert (registry.keys(), len(registry.writes)) == (keys, writes)
