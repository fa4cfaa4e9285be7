"""The rows of /api/v1/entries: what became of each entry after a pass."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from controller.observe.api.entries import State, entry_documents
from model.container import ContainerRef
from model.desired import ExclusionReason, HoldReason
from model.drain_order import NO_DRAIN, DrainedContainer
from model.plan import Action, Reason
from model.record import RecordKeys
from model.refusal import RefusalReason
from model.report import PassReport
from model.rules import AddressRules, Deregister, HealthRule
from model.snapshot import Presence, UnknownContainer
from tests.support.pass_harness import Host, serving
from tests.support.reports import failed

WEB_KEY, DB_KEY = "/services/nginx/core-01:web:80", "/services/nginx/core-01:db:80"

WEB_ROW = {
    "state": "in-step",
    "container": {"id": "id-web", "name": "web"},
    "container_port": "80/tcp",
    "key": WEB_KEY,
    "value": "10.0.0.1:8000",
    "stored": "10.0.0.1:8000",
    "service": "nginx",
    "id": "core-01:web:80",
    "address": "10.0.0.1",
    "port": 8000,
    "action": None,
    "reason": None,
    "result": None,
    "detail": "",
}


def row(report: PassReport, **fields: Any) -> dict[str, Any]:
    """Return the only row with these fields."""
    (found,) = (each for each in entry_documents(report) if fields.items() <= each.items())
    return found


def states(report: PassReport) -> list[tuple[str | None, str]]:
    """Return key and state of each row."""
    return [(each["key"], each["state"]) for each in entry_documents(report)]


def test_an_entry_is_in_step_once_its_key_is_written() -> None:
    """After the pass that writes it, and after the next one, which has nothing to do."""
    host = Host(serving("web"))
    assert entry_documents(host.has_a_pass()) == [WEB_ROW]
    assert entry_documents(host.has_a_pass()) == [WEB_ROW]


def test_an_update_that_was_made_leaves_the_entry_in_step() -> None:
    """What the key holds is then the new value."""
    host = Host(serving("web"))
    host.has_a_pass()
    host.registry.put(WEB_KEY, "10.9.9.9:1")
    assert entry_documents(host.has_a_pass()) == [WEB_ROW]


@pytest.mark.parametrize("before", [None, "10.9.9.9:1"], ids=["create", "update"])
def test_a_change_that_was_not_made_is_pending(before: str | None) -> None:
    """The row has the change, its reason, how it ended, and what the key holds meanwhile."""
    host = Host(serving("web"))
    if before:
        host.registry.put(WEB_KEY, before)
    host.registry.rejecting = lambda change: change.visible
    assert entry_documents(host.tries_a_pass()) == [
        {
            **WEB_ROW,
            "state": "pending",
            "stored": before,
            "action": "update" if before else "create",
            "reason": Reason.CHANGED.value if before else Reason.NEW.value,
            "result": "rejected",
            "detail": "permission denied",
        }
    ]


def test_a_key_that_cannot_be_deleted_yet_is_pending() -> None:
    """No entry wants it any more, so it has no value that it should hold. What the key tells of its entry is there."""
    host = Host(serving("web"))
    host.has_a_pass()
    host.runs()
    host.source.presences["id-web"] = Presence.STOPPED
    host.registry.failing = lambda change: change.visible
    assert entry_documents(host.tries_a_pass()) == [
        {
            **WEB_ROW,
            "state": "pending",
            "container_port": None,
            "value": None,
            "action": "delete",
            "reason": "gone",
            "result": "failed",
            "detail": "no",
        }
    ]


def test_a_key_that_was_deleted_has_no_row() -> None:
    """It is not there any more, and nothing wants it."""
    host = Host(serving("web"))
    host.has_a_pass()
    host.runs()
    host.source.presences["id-web"] = Presence.STOPPED
    assert entry_documents(host.has_a_pass()) == []


def test_a_delete_that_the_guard_puts_off_is_held_back() -> None:
    """The detail is what the engine says of the container."""
    host = Host(serving("web"))
    host.has_a_pass()
    host.runs()
    host.source.presences["id-web"] = Presence.RUNNING
    found = row(host.has_a_pass(), key=WEB_KEY)
    assert (found["state"], found["action"], found["reason"]) == ("held-back", "delete", "gone")
    assert (found["stored"], found["detail"]) == ("10.0.0.1:8000", Presence.RUNNING.about)


def test_what_an_unreadable_container_has_registered_is_held() -> None:
    """The container has a row of its own, which says what the engine answered."""
    host = Host(serving("web"))
    host.has_a_pass()
    host.runs()
    host.source.unknown = (UnknownContainer(ContainerRef("id-web", "web"), "no answer in time"),)
    report = host.has_a_pass()
    assert states(report) == [(WEB_KEY, "held"), (None, "unreadable")]
    held, container_row = entry_documents(report)
    assert (held["reason"], held["detail"]) == ("unreadable", HoldReason.UNREADABLE.about)
    assert held["container"] == container_row["container"] == {"id": "id-web", "name": "web"}
    assert container_row["detail"] == "no answer in time"


def test_the_entries_of_a_failed_container_are_held_with_that_reason() -> None:
    """As -deregister on-success asks."""
    host = Host(serving("web"), deregister=Deregister.ON_SUCCESS)
    host.has_a_pass()
    host.runs(evolve(serving("web"), status="exited", exit_code=1))
    assert row(host.has_a_pass(), key=WEB_KEY)["reason"] == HoldReason.FAILED.value


def test_while_the_hosts_address_is_missing_its_ports_are_refused_and_their_keys_held() -> None:
    """Both rows say what the operator can do."""
    host = Host(serving("web"))
    host.has_a_pass()
    rules = evolve(host.settings.rules, address=AddressRules(guessed=""))
    host.settings = evolve(host.settings, rules=rules)
    report = host.tries_a_pass()
    assert states(report) == [(WEB_KEY, "held"), (None, "refused")]
    held, refused = entry_documents(report)
    assert refused["reason"] == RefusalReason.NO_ADDRESS.value
    assert held["container"] == {"id": "id-web", "name": "web"}
    assert "-ip" in held["detail"]
    assert held["detail"] in refused["detail"]


def test_a_refused_port_has_its_reason_and_no_key() -> None:
    """The detail is for people."""
    report = Host(serving("web", "SERVICE_NAME=a//b")).has_a_pass()
    assert entry_documents(report) == [
        {
            **dict.fromkeys(WEB_ROW),
            "state": "refused",
            "container": {"id": "id-web", "name": "web"},
            "container_port": "80/tcp",
            "reason": "bad-name",
            "detail": report.plan.refusals[0].detail,
        }
    ]


def test_an_entry_whose_key_somebody_else_has_shows_both() -> None:
    """What the key should hold, and what it holds. Each conflict is told of its own entry."""
    names = ("one", "two", "three")
    host = Host(*(serving(name, f"SERVICE_ID={name}", number=8000 + number) for number, name in enumerate(names)))
    host.registry.put("/services/nginx/one", "10.0.0.7:1")
    host.registry.put("/services/nginx/two", "10.0.0.7:2")
    report = host.tries_a_pass()
    assert states(report) == [
        ("/services/nginx/one", "refused"),
        ("/services/nginx/three", "in-step"),
        ("/services/nginx/two", "refused"),
    ]
    one, two = (row(report, id=name) for name in ("one", "two"))
    assert (one["value"], one["stored"], one["reason"]) == ("10.0.0.1:8000", "10.0.0.7:1", "conflict")
    assert (two["value"], two["stored"], two["service"]) == ("10.0.0.1:8001", "10.0.0.7:2", "nginx")
    assert one["detail"] != two["detail"]


def test_a_container_that_is_excluded_has_a_row_without_a_key() -> None:
    """The reason is that of the exclusion."""
    host = Host(evolve(serving("web"), health="starting"), health=HealthRule.HEALTHY)
    found = row(host.has_a_pass(), state="excluded")
    assert (found["container"]["name"], found["key"], found["reason"]) == ("web", None, "unhealthy")
    assert found["detail"] == ExclusionReason.UNHEALTHY.about


def test_a_container_that_drains_says_why() -> None:
    """It is the operator here, and can be a signal."""
    web = evolve(serving("web"), started="2026-01-01T00:00:00.000000000Z")
    host = Host(web)
    order = NO_DRAIN.with_containers([DrainedContainer(web.id, web.started, web.name)])
    host.registry.put(RecordKeys("/services").drain_order("core-01"), order.encode())
    found = row(host.has_a_pass(), state="draining")
    assert (found["reason"], found["detail"]) == ("draining", "the operator drains it")


def test_rows_are_sorted_by_key_and_those_without_one_come_last() -> None:
    """app-2 comes before app-10, and the order of the engine's list does not matter."""
    containers = [serving(f"app-{number}", number=8000 + number) for number in (10, 2, 1)]
    containers += [serving(f"bad-{number}", "SERVICE_NAME=a//b", number=8100 + number) for number in (10, 2)]
    first, second = (Host(*each).has_a_pass() for each in (containers, reversed(containers)))
    assert [each["container"]["name"] for each in entry_documents(first)] == [
        "app-1",
        "app-2",
        "app-10",
        "bad-2",
        "bad-10",
    ]
    assert entry_documents(first) == entry_documents(second)


def test_a_key_that_the_layout_cannot_read_has_what_is_known() -> None:
    """Somebody wrote something else into a key of this host, and its container is gone."""
    host = Host()
    host.registry.put(WEB_KEY, "rubbish")
    host.registry.failing = lambda change: change.visible
    found = row(host.tries_a_pass(), key=WEB_KEY)
    assert (found["state"], found["stored"], found["address"], found["container"]["name"]) == (
        "pending",
        "rubbish",
        None,
        "web",
    )


def test_a_pass_without_a_plan_has_no_rows() -> None:
    """Nothing is known then."""
    assert entry_documents(failed()) == []


def test_nothing_of_the_environment_is_shown_but_service_variables() -> None:
    """Passwords are often there."""
    report = Host(serving("web", "PASSWORD=hunter2", "SERVICE_NAME=shop")).has_a_pass()
    text = str(entry_documents(report))
    assert "hunter2" not in text
    assert "shop" in text


#: Metadata of containers, some of which is refused, or wants a key that another one wants, too.
METADATA = (
    "",
    "SERVICE_ID=x",
    "SERVICE_ID=x/y",
    "SERVICE_ID=z",
    "SERVICE_NAME=a//b",
    "SERVICE_NAME=other",
    "SERVICE_IGNORE=1",
)

#: Keys that are there before: of nobody, of another host, and of this host.
KEYS = ("x", "x/y", "z", "core-07:web:80", "core-01:c0:80", "core-01:gone:80")


@given(
    metadata=st.lists(st.sampled_from(METADATA), max_size=4),
    keys=st.sets(st.sampled_from(KEYS)),
    failing=st.sets(st.sampled_from(Action)),
    lost=st.integers(0, 4),
)
def test_the_rows_agree_with_the_report(metadata: list[str], keys: set[str], failing: set[Action], lost: int) -> None:
    """Each wanted key has one row, each refusal has one, and as many are in step as the report says: in a first pass,
    and in one after which some containers have gone."""
    containers = [serving(f"c{number}", text, number=8000 + number) for number, text in enumerate(metadata)]
    host = Host(*containers)
    for key in keys:
        host.registry.put(f"/services/nginx/{key}", "10.0.0.1:8000")
    host.registry.failing = lambda change: change.action in failing
    for running in (containers, containers[lost:]):
        host.runs(*running)
        report = host.tries_a_pass()
        rows = entry_documents(report)
        shown = Counter(each["state"] for each in rows)
        assert shown["in-step"] == report.in_step
        assert shown["refused"] == len(report.plan.refusals)
        assert shown["pending"] == report.pending
        assert (shown["held"], shown["held-back"]) == (len(report.plan.held), len(report.plan.held_back))
        wanted = [each["key"] for each in rows if each["value"] is not None]
        assert report.evidence is not None
        assert sorted(wanted) == sorted(report.evidence.wanted.by_key)


def test_each_state_is_explained() -> None:
    """In a sentence."""
    assert all(each.about.endswith(".") for each in State)


def test_the_page_about_the_documents_explains_each_state() -> None:
    """In the words of the code."""
    page = (Path(__file__).parents[2] / "docs/api.md").read_text()
    assert [line for each in State if (line := f"| `{each.value}` | {each.about} |") not in page] == []
