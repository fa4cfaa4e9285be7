"""Tests of how a pass obeys the operator's drain order."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from attrs import evolve

from controller.reconcile.deciding import Deciding
from controller.reconcile.one_pass import reconcile
from model.container import Container
from model.desired import ExclusionReason
from model.drain_order import NO_DRAIN, DrainedContainer, DrainOrder
from model.plan import Action, Reason
from model.record import RecordKeys
from model.report import PassReport
from tests.support.fakes import EPOCH
from tests.support.memory_registry import MemoryRegistry
from tests.support.pass_harness import Host, serving

ORDER_KEY = RecordKeys("/services").drain_order("core-01")
WEB_KEY, DB_KEY = "/services/nginx/core-01:web:80", "/services/nginx/core-01:db:80"

STARTED = "2026-01-01T00:00:00.000000000Z"
WEB, DB = (evolve(serving(name, number=number), started=STARTED) for name, number in (("web", 8000), ("db", 8001)))


def naming(*containers: Container, until: float = inf) -> DrainOrder:
    """Return the order that names these containers."""
    return NO_DRAIN.with_containers(DrainedContainer(each.id, each.started, each.name, until) for each in containers)


def order(registry: MemoryRegistry, drained: DrainOrder) -> None:
    """Write a drain order."""
    registry.put(ORDER_KEY, drained.encode())


def registered_host(*containers: Container, **settings: Any) -> Host:
    """Return a host whose containers are registered."""
    host = Host(*containers, **settings)
    host.has_a_pass()
    return host


def deletes(report: PassReport) -> list[tuple[str, Reason, str]]:
    """Return key, reason and detail of each delete."""
    return [(each.key, each.reason, each.detail) for each in report.plan.changes if each.action is Action.DELETE]


def test_the_entries_of_a_drained_container_go_while_it_runs_and_return_after_it() -> None:
    """Those of the other containers stay, and the delete says why."""
    host = registered_host(WEB, DB)
    order(host.registry, naming(WEB))
    report = host.has_a_pass()
    assert deletes(report) == [(WEB_KEY, Reason.DRAINING, "the operator drains it")]
    assert report.excluded == {WEB.ref: ExclusionReason.DRAINING}
    assert {ref: each.why for ref, each in report.draining.items()} == {WEB.ref: "the operator drains it"}
    assert report.drain_order == naming(WEB)
    assert host.registry.keys().keys() == {DB_KEY}
    host.registry.remove(ORDER_KEY)
    assert host.has_a_pass().drain_order == NO_DRAIN
    assert host.registry.keys().keys() == {WEB_KEY, DB_KEY}


def test_a_drain_ends_with_the_first_pass_after_its_end() -> None:
    """The order stays in the registry, and no longer counts."""
    host = registered_host(WEB)
    order(host.registry, naming(WEB, until=EPOCH + 5.0))
    while host.time.passed < 5.0:
        assert host.has_a_pass().drain_order == naming(WEB, until=EPOCH + 5.0)
        assert host.registry.keys() == {}
    host.has_a_pass()
    assert host.registry.keys().keys() == {WEB_KEY}
    assert ORDER_KEY in host.registry.stored


@pytest.mark.parametrize(
    "later",
    [evolve(WEB, started="2026-01-02T00:00:00.000000000Z"), evolve(WEB, id="id-new")],
    ids=["started again", "a new container"],
)
def test_a_new_run_and_a_new_container_of_the_name_are_not_drained(later: Container) -> None:
    """The order is about the container that the operator saw."""
    host = registered_host(WEB)
    order(host.registry, naming(WEB))
    host.has_a_pass()
    host.runs(later)
    report = host.has_a_pass()
    assert report.drain_order == NO_DRAIN
    assert host.registry.keys().keys() == {WEB_KEY}


def test_when_all_containers_drain_one_that_starts_later_drains_too() -> None:
    """It is never registered, until the order is gone."""
    host = registered_host(WEB)
    order(host.registry, DrainOrder(all_until=inf))
    host.has_a_pass()
    host.runs(WEB, DB)
    report = host.has_a_pass()
    assert (host.registry.keys(), report.drain_order.all_until) == ({}, inf)
    assert set(report.excluded.values()) == {ExclusionReason.DRAINING}
    host.registry.remove(ORDER_KEY)
    host.has_a_pass()
    assert host.registry.keys().keys() == {WEB_KEY, DB_KEY}


def test_the_guard_holds_no_drain_back() -> None:
    """All entries of a host go in one pass, although the deletes are many."""
    host = registered_host(*(evolve(serving(f"web-{number}", number=8000 + number)) for number in range(10)))
    order(host.registry, DrainOrder(all_until=inf))
    report = host.has_a_pass()
    assert (len(report.plan.deletes), report.plan.held_back, host.registry.keys()) == (10, (), {})


def test_an_agent_that_was_restarted_obeys_the_order() -> None:
    """The order is in the registry, so the agent needs no memory of it."""
    host = registered_host(WEB, DB)
    order(host.registry, naming(WEB))
    host.restarts()
    host.has_a_pass()
    assert host.registry.keys().keys() == {DB_KEY}


def test_an_unreadable_order_drains_nothing_and_is_reported() -> None:
    """It may come from a newer version."""
    host = registered_host(WEB)
    assert host.has_a_pass().unreadable_drain_order == ""
    host.registry.put(ORDER_KEY, "rubbish")
    report = host.has_a_pass()
    assert (report.unreadable_drain_order, report.drain_order) == (ORDER_KEY, NO_DRAIN)
    assert host.registry.keys().keys() == {WEB_KEY}


@pytest.mark.parametrize("until", [inf, EPOCH + 1000.0], ids=["without an end", "with an end"])
def test_a_drain_that_goes_on_is_decided_once(until: float) -> None:
    """The plan is the object of the pass before, also while an older part of the order has ended."""
    host = registered_host(WEB, DB)
    host.settings = evolve(host.settings, deciding=Deciding.remembering())
    ended = naming(evolve(WEB, id="id-old"), until=EPOCH)
    order(host.registry, ended.with_containers(naming(WEB, until=until).containers.values()))
    for _ in range(2):
        host.has_a_pass()
    before = host.has_a_pass().plan
    assert (before.changes, host.has_a_pass().plan is before) == ((), True)


def test_a_changed_order_is_obeyed_although_no_key_has_changed() -> None:
    """It is a part of what is observed."""
    host = registered_host(WEB, DB)
    order(host.registry, naming(WEB))
    host.has_a_pass()
    order(host.registry, naming(DB))
    report = host.has_a_pass()
    assert deletes(report) == [(DB_KEY, Reason.DRAINING, "the operator drains it")]
    assert host.registry.keys().keys() == {WEB_KEY}


def test_a_hurried_pass_obeys_the_order_that_was_observed_last() -> None:
    """A container that has just started is not registered for a moment while all drain."""
    host = registered_host(WEB)
    order(host.registry, DrainOrder(all_until=inf))
    host.has_a_pass()
    host.runs(WEB, DB)
    report = reconcile(host.settings, host.source, host.registry, host.memory, hurried=True)
    assert (report.plan.changes, report.drain_order.all_until, host.registry.keys()) == ((), inf, {})
