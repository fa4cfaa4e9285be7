"""The report of a pass as JSON."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from controller.commands.render import as_json
from model.container import ContainerRef
from model.draining import Draining
from model.guard import HeldDelete
from model.plan import Plan, Reason
from model.refusal import RefusalReason
from model.report import PassReport, PassResult, Result
from model.snapshot import Presence
from model.stored import Stored
from tests.support.builders import entry
from tests.support.reports import added, altered, failed, planned, recorded, refused, removed, renewed, unreadable

MIXED = planned(
    altered("/services/api/core-01:api:80", "10.0.0.1:8000", "10.0.0.1:9000"),
    removed("/services/db/core-01:db:5432", "10.0.0.1:5432", Reason.ORPHAN),
    renewed("/services/quiet/core-01:quiet:80"),
    added("/services/web/core-01:web:443", "10.0.0.1:8443"),
    added("/services/web/core-01:web:80", "10.0.0.1:8000", Reason.MISSING),
    ended=Result.PENDING,
    refusals=(refused("dns", RefusalReason.DUPLICATE, "container 'old' already has dns/a"),),
    unknown=(unreadable("slow"),),
    in_sync=12,
    foreign=3,
)


def in_json(report: PassReport) -> str:
    """Return the JSON document for the report of a single registry."""
    return as_json({"etcd": report})


NASTY = "a\x1b[31m\nb\x9b\u2028\udc80c"


def test_an_entry_that_is_held_is_listed() -> None:
    """It has the key and the value of the entry."""
    report = planned(held=(Stored(f"/a/{NASTY}", f"1{NASTY}", 7),))
    document = json.loads(in_json(report))
    assert document["held"] == [{"key": f"/a/{NASTY}", "value": f"1{NASTY}"}]


def test_json_has_the_whole_report() -> None:
    """It has the changes in the same order, the result, unreadable containers and counts."""
    document = json.loads(in_json(MIXED))
    assert [(each["action"], each["key"]) for each in document["changes"]] == [
        ("update", "/services/api/core-01:api:80"),
        ("delete", "/services/db/core-01:db:5432"),
        ("create", "/services/web/core-01:web:443"),
        ("create", "/services/web/core-01:web:80"),
    ]
    assert document["counts"] == {
        "create": 2,
        "update": 1,
        "delete": 1,
        "in_sync": 12,
        "refused": 1,
        "foreign": 3,
        "held_back": 0,
    }
    assert (document["result"], document["problem"], document["owner"]) == ("success", "", "core-01")
    assert document["unknown"] == [{"container": "slow", "problem": "no answer in time"}]


@pytest.mark.parametrize(
    ("number", "fields"),
    [
        (0, {"value": "10.0.0.1:9000", "before": "10.0.0.1:8000", "reason": "changed", "container": "id-web"}),
        (1, {"value": None, "before": "10.0.0.1:5432", "reason": "orphan", "container": None}),
        (2, {"value": "10.0.0.1:8443", "before": None, "reason": "new", "container": "id-web"}),
    ],
    ids=["update", "delete", "create"],
)
def test_a_change_in_json_has_values_reason_and_result(number: int, fields: dict[str, str | None]) -> None:
    """A value that does not exist is null, and a change that was not to be applied is pending."""
    change = json.loads(in_json(MIXED))["changes"][number]
    assert {name: change[name] for name in fields} == fields
    assert (change["result"], change["detail"]) == ("pending", "")


def test_a_refusal_in_json_has_container_port_and_reason() -> None:
    """The container has name and id. The reason is one of the fixed list, and the detail is for people."""
    assert json.loads(in_json(MIXED))["refused"] == [
        {
            "container": "dns",
            "container_id": "id-dns",
            "port": "80/tcp",
            "reason": "duplicate",
            "detail": "container 'old' already has dns/a",
        }
    ]


def test_a_failed_change_in_json_has_its_problem() -> None:
    """The pass has result and problem, too, so that a program need not look at the exit code."""
    document = json.loads(in_json(planned(added(), ended=Result.FAILED, result=PassResult.OPERATION_ERROR)))
    assert (document["result"], document["problem"]) == ("operation-error", "etcd says no")
    assert (document["changes"][0]["result"], document["changes"][0]["detail"]) == ("failed", "etcd says no")


def test_a_pass_without_a_plan_in_json_has_its_problem() -> None:
    """It has no changes."""
    document = json.loads(in_json(failed()))
    assert (document["result"], document["problem"], document["changes"]) == ("registry-error", "nobody answers", [])


def test_a_change_without_an_outcome_in_json_has_no_result() -> None:
    """A report may hold a plan that was never to be carried out."""
    report = PassReport(PassResult.SUCCESS, plan=Plan(changes=(added(),)))
    assert json.loads(in_json(report))["changes"][0]["result"] is None


def test_json_is_ascii_and_keeps_the_text_of_others() -> None:
    """Control characters are escaped, and restored by the reader of the JSON."""
    text = in_json(planned(added(f"/{NASTY}", "x:1")))
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text)["changes"][0]["key"] == f"/{NASTY}"


HELD = evolve(
    planned(
        added("/a/b/core-01:new:80", "x:1"),
        ended=Result.PENDING,
        held_back=(removed("/a/b/core-01:one:80", "x:2"), removed("/a/b/core-01:two:80", "x:3", Reason.ORPHAN)),
        refusals=(refused(),),
    ),
    held_deletes={
        "/a/b/core-01:one:80": HeldDelete(Presence.RUNNING, 1, 0.0),
        "/a/b/core-01:two:80": HeldDelete(Presence.ABSENT, 1, 0.0),
    },
)


def test_deletes_that_are_held_back_are_listed_in_json() -> None:
    """They are not among the changes and have no result, since they were not to be applied."""
    document = json.loads(in_json(HELD))
    assert [(each["key"], each["before"], each["result"], each["detail"]) for each in document["held_back"]] == [
        ("/a/b/core-01:one:80", "x:2", None, Presence.RUNNING.about),
        ("/a/b/core-01:two:80", "x:3", None, Presence.ABSENT.about),
    ]
    assert (document["counts"]["held_back"], document["counts"]["delete"]) == (2, 0)
    assert [each["key"] for each in document["changes"]] == ["/a/b/core-01:new:80"]


def test_the_owner_record_is_not_listed() -> None:
    """No reader of the prefix sees the record."""
    assert json.loads(in_json(planned(recorded())))["changes"] == []


def test_the_document_of_a_single_registry_names_it() -> None:
    """The document is that of the registry."""
    assert json.loads(in_json(MIXED))["registry"] == "etcd"


def test_several_registries_have_a_document_each() -> None:
    """They are in the given order, each as it would be alone."""
    documents = json.loads(as_json({"etcd-2": failed(), "etcd": MIXED}))
    assert documents.keys() == {"version", "registries"}
    assert [each["registry"] for each in documents["registries"]] == ["etcd-2", "etcd"]
    assert documents["registries"] == [json.loads(as_json({"etcd-2": failed()})), json.loads(in_json(MIXED))]


def test_an_entry_with_a_loopback_address_is_listed() -> None:
    """It is registered, and only this host can dial it."""
    report = evolve(planned(in_sync=1), loopback=(entry(address="127.0.0.1"),))
    shown = {"container": "web", "port": "80/tcp", "address": "127.0.0.1"}
    assert json.loads(in_json(report))["loopback"] == [shown]


def test_a_container_that_drains_is_listed_with_the_cause() -> None:
    """Nothing else shows it once its keys are gone."""
    why = "the operator drains it until 2026-01-02T03:04:05Z"
    report = evolve(planned(), draining={ContainerRef("abc", f"web{NASTY}"): Draining(why)})
    assert json.loads(in_json(report))["draining"] == [
        {"container": f"web{NASTY}", "container_id": "abc", "detail": why}
    ]
