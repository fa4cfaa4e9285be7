"""Tests of the pass and inner prefixes: two agents of one host, with one agent's prefix within the other's."""

from __future__ import annotations

import pytest

from model.layout import PlainLayout
from model.record import RecordKeys
from model.refusal import RefusalReason
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, serving

OUTER, INNER = "/services", "/services/registrator"
OUTER_WEB, INNER_WEB = f"{OUTER}/nginx/core-01:web:80", f"{INNER}/nginx/core-01:web:80"
VALUE = "10.0.0.1:8000"


def two_agents() -> tuple[Host, Host]:
    """Return two agents of one host. The prefix of the second one lies within the prefix of the first one."""
    outer, inner = RecordingRegistry(OUTER), RecordingRegistry(INNER)
    inner.stored, inner.created = outer.stored, outer.created
    # Both registries share the keys, but each counts its own versions, and those must not coincide.
    inner.version = 10_000
    web = serving("web")
    return Host(web, registry=outer), Host(web, registry=inner, layout=PlainLayout(INNER))


@pytest.mark.parametrize("first", [0, 1], ids=["outer first", "inner first"])
def test_agents_with_prefixes_in_one_another_leave_each_others_keys_alone(first: int) -> None:
    """Both agents register what runs, and from then on neither writes anything. Each agent removes its own keys when
    the container ends."""
    agents = two_agents()
    for number in (first, 1 - first):
        agents[number].has_a_pass()
    for agent in agents:
        report = agent.has_a_pass()
        assert (report.outcomes, report.plan.in_sync) == ((), 1)
    assert agents[0].registry.keys() == {OUTER_WEB: VALUE, INNER_WEB: VALUE}
    agents[0].runs()
    agents[0].has_a_pass()
    assert agents[0].registry.keys() == {INNER_WEB: VALUE}
    agents[1].runs()
    agents[1].has_a_pass()
    assert agents[0].registry.keys() == {}


def test_the_report_names_the_inner_prefix_and_counts_its_keys_as_foreign() -> None:
    """From the report, the log tells the operator about the inner prefix."""
    outer, inner = two_agents()
    inner.has_a_pass()
    report = outer.has_a_pass()
    assert [(each.prefix, each.owners) for each in report.inner or ()] == [(INNER, ("core-01",))]
    assert (report.plan.own, report.plan.foreign) == (0, 1)


def test_an_outer_entry_that_would_land_below_the_inner_prefix_is_refused() -> None:
    """The inner agent would take such an entry for an orphan of its own."""
    outer, inner = two_agents()
    inner.has_a_pass()
    outer.runs(serving("web", "SERVICE_NAME=registrator/x"))
    report = outer.has_a_pass()
    assert [each.reason for each in report.plan.refusals] == [RefusalReason.CONFLICT]
    assert outer.registry.keys() == {INNER_WEB: VALUE}


def test_without_its_records_an_inner_prefix_is_one_no_longer() -> None:
    """deregister removes an owner's record last. A key of that owner that is left behind is an orphan of the outer
    prefix."""
    outer, inner = two_agents()
    inner.has_a_pass()
    outer.has_a_pass()
    outer.registry.remove(RecordKeys(INNER).record("core-01"))
    outer.has_a_pass()
    assert outer.registry.keys() == {OUTER_WEB: VALUE}


def test_an_idle_pass_does_not_ask_for_inner_prefixes() -> None:
    """Asking would cost a request in each pass, and inner prefixes matter only to what is written."""
    host = Host(serving("web"))
    host.has_a_pass()
    host.registry.reads.clear()
    host.has_a_pass()
    assert host.registry.reads == ["any"]
