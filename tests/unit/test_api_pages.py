"""The pages under /api/v1/ that are built from the last reports, validated with their schemas."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from attrs import evolve

from controller.observe.api.pages import CHANGES, ENTRIES, PLAN, STATUS, ApiPages, Page
from controller.observe.api.status import AgentStatus
from controller.observe.api.values import encoded, moment_text
from controller.observe.last_reports import LastReports
from model.desired import ExclusionReason
from model.drain_order import NO_DRAIN, DrainedContainer
from model.refusal import RefusalReason
from model.report import PassReport, PassResult, Result
from tests.support.fakes import EPOCH, FakeTime
from tests.support.pass_harness import Host, serving
from tests.support.reports import added, altered, failed, planned, refused, removed, unreadable
from tests.support.schemas import validated

PAGES = {STATUS: "status", ENTRIES: "entries", PLAN: "plan", CHANGES: "changes"}

AGENT = AgentStatus("9.9.9", EPOCH, "core-01", "4C7A", "stream")

URIS = {"etcd": "etcd://a:2379/services", "etcd3": "etcd3://***@b:2379/services"}


class Agent:
    """An agent of one or two registries, as its pages show it."""

    def __init__(self, *labels: str) -> None:
        self.time = FakeTime()
        self.loops = {label: LastReports() for label in labels or ("etcd",)}
        self.pages = ApiPages(lambda: AGENT, URIS, self.loops, self.time.clock)

    def ends(self, report: PassReport, label: str = "etcd") -> None:
        """End a pass a second after it began."""
        clock = self.time.clock
        self.loops[label].begun(clock.wall())
        self.time.advance(1)
        self.loops[label].ended(report, clock.wall(), 1.0)

    def begins(self, label: str = "etcd") -> None:
        """Begin a pass that does not end."""
        self.loops[label].begun(self.time.clock.wall())

    def page(self, path: str) -> Page:
        """Return the page at this path."""
        build = self.pages.find(path)
        assert build is not None
        return build()

    def document(self, path: str) -> dict[str, Any]:
        """Return the document at this path, which is one of its schema."""
        status, document = self.page(path)
        assert status == "200 OK"
        return validated(PAGES[path], encoded(document))

    def of_registry(self, path: str) -> dict[str, Any]:
        """Return the part of the page about the only registry."""
        (only,) = self.document(path)["registries"]
        assert isinstance(only, dict)
        return only


def test_before_the_first_pass_has_ended_the_pages_say_so() -> None:
    """With status 503, and a document that names the registry."""
    agent = Agent()
    agent.begins()
    for path in (ENTRIES, PLAN, CHANGES):
        status, document = agent.page(path)
        assert status == "503 Service Unavailable"
        assert validated("problems", encoded(document))["problems"] == ["etcd: no pass has ended yet"]
    status, document = agent.page(STATUS)
    (registry,) = validated("status", encoded(document))["registries"]
    assert status == "503 Service Unavailable"
    assert (registry["result"], registry["problem"]) == (None, "no pass has ended yet")
    assert (registry["counts"], registry["running_since"]) == (None, moment_text(EPOCH))


def test_without_a_plan_there_are_no_entries_and_the_problem_is_told() -> None:
    """The last changes are known: there were none."""
    agent = Agent()
    agent.ends(failed(PassResult.ENGINE_ERROR, "no engine"))
    for path in (ENTRIES, PLAN):
        status, document = agent.page(path)
        assert (status, document["problems"]) == (
            "503 Service Unavailable",
            ["etcd: no pass has made a plan yet; the last one ended in engine-error: no engine"],
        )
    assert agent.of_registry(CHANGES)["changes"] == []
    assert agent.of_registry(STATUS)["problem"] == "no engine"


def test_a_pass_that_fails_leaves_the_last_plan_to_be_seen() -> None:
    """What is shown says of when it is, and how the last pass ended."""
    agent = Agent()
    agent.ends(Host(serving("web")).has_a_pass())
    agent.ends(failed(PassResult.REGISTRY_ERROR, "nobody answers"))
    agent.begins()
    last = {"result": "registry-error", "problem": "nobody answers", "ended_at": moment_text(EPOCH + 2)}
    for path in (ENTRIES, PLAN):
        shown = agent.of_registry(path)
        assert (shown["planned_at"], shown["last_pass"]) == (moment_text(EPOCH + 1), last)
    assert [each["state"] for each in agent.of_registry(ENTRIES)["entries"]] == ["in-step"]
    assert agent.of_registry(PLAN)["result"] == "success"
    assert agent.of_registry(CHANGES)["last_pass"] == last
    status = agent.of_registry(STATUS)
    assert (status["result"], status["ended_at"]) == ("registry-error", last["ended_at"])
    assert (status["planned_at"], status["running_since"]) == (moment_text(EPOCH + 1), moment_text(EPOCH + 2))
    assert status["counts"]["in_step"] == 1


def test_a_registry_whose_first_pass_hangs_does_not_hide_the_others() -> None:
    """It is missing where nothing is known of it. The status page has it all the same."""
    agent = Agent("etcd", "etcd3")
    agent.begins("etcd3")
    agent.ends(Host(serving("web")).has_a_pass())
    for path in (ENTRIES, PLAN, CHANGES):
        assert [each["registry"] for each in agent.document(path)["registries"]] == ["etcd"]
    assert [(each["registry"], each["result"]) for each in agent.document(STATUS)["registries"]] == [
        ("etcd", "success"),
        ("etcd3", None),
    ]


def test_the_status_has_the_agent_and_each_registry() -> None:
    """The URI is shown as it is known, without secrets."""
    agent = Agent("etcd", "etcd3")
    for label in URIS:
        agent.ends(planned(), label)
    document = agent.document(STATUS)
    registries = document.pop("registries")
    assert document == {
        "version": 1,
        "program": "9.9.9",
        "started_at": moment_text(EPOCH),
        "now": moment_text(EPOCH + 2),
        "owner": "core-01",
        "engine_id": "4C7A",
        "hints": "stream",
    }
    assert [each["uri"] for each in registries] == [*URIS.values()]


def test_the_status_counts_what_the_last_plan_found() -> None:
    """Each reason is there, also with 0."""
    report = evolve(
        planned(
            added("/a"),
            removed("/b"),
            ended=Result.REJECTED,
            result=PassResult.INCOMPLETE,
            refusals=(refused(), refused("db")),
            unknown=(unreadable("slow"),),
            wanted=9,
            in_sync=7,
            foreign=5,
            unreadable=3,
        ),
        containers=11,
        excluded={refused("batch").container: ExclusionReason.ONE_OFF},
    )
    agent = Agent()
    agent.ends(report)
    assert agent.of_registry(STATUS)["counts"] == {
        "containers": 11,
        "wanted": 9,
        "in_step": 7,
        "pending": 2,
        "held": 0,
        "held_back": 0,
        "refused": {**{each.value: 0 for each in RefusalReason}, "bad-name": 2},
        "excluded": {**{each.value: 0 for each in ExclusionReason}, "one-off": 1},
        "unreadable_containers": 1,
        "foreign": 5,
        "unreadable": 3,
    }


def test_the_status_has_the_drain_order() -> None:
    """A drain without an end has null there."""
    order = evolve(NO_DRAIN, all_until=EPOCH).with_containers([DrainedContainer("1f2e", "", "web", inf)])
    agent = Agent()
    agent.ends(evolve(planned(), drain_order=order, unreadable_drain_order="/_wharfinger/x/drain"))
    status = agent.of_registry(STATUS)
    assert status["drain_order"]["containers"] == [{"id": "1f2e", "name": "web", "until": None}]
    assert status["drain_order"]["all"]["until"].endswith("Z")
    assert status["unreadable_drain_order"] == "/_wharfinger/x/drain"


def test_the_last_changes_have_their_time_reason_and_result() -> None:
    """The newest comes first. A value that does not exist is null."""
    agent = Agent()
    agent.ends(planned(added("/a", "x:1")))
    agent.ends(planned(altered("/a", "x:1", "x:2"), ended=Result.CONFLICT))
    newest, oldest = agent.of_registry(CHANGES)["changes"]
    assert oldest == {
        "at": moment_text(EPOCH + 1),
        "action": "create",
        "key": "/a",
        "value": "x:1",
        "before": None,
        "reason": "new",
        "container": "id-web",
        "container_name": None,
        "result": "applied",
        "detail": "",
    }
    assert (newest["at"], newest["before"], newest["result"]) == (moment_text(EPOCH + 2), "x:1", "conflict")


def test_the_pages_of_a_real_pass_are_those_of_their_schemas() -> None:
    """It has an entry, a refusal, an unreadable container, a key that stays and one of somebody else."""
    host = Host(serving("web"), serving("gone", number=8001), serving("bad", "SERVICE_NAME=a//b", number=8002))
    host.registry.put("/services/other/core-07:x:1", "rubbish")
    host.has_a_pass()
    host.runs(*host.source.containers[:1], *host.source.containers[2:])
    agent = Agent()
    agent.ends(host.tries_a_pass())
    for path in PAGES:
        assert agent.document(path)["version"] == 1


def test_two_pages_of_the_same_reports_are_the_same_text() -> None:
    """Fields and lists have an order."""
    first, second = Agent(), Agent()
    for agent in (first, second):
        agent.ends(Host(serving("web"), serving("db", number=8001)).has_a_pass())
    for path in PAGES:
        assert encoded(first.page(path).document) == encoded(second.page(path).document)


def test_text_of_containers_is_shown_as_it_is() -> None:
    """JSON escapes it, so the page is ASCII."""
    nasty = "a\x1b[31m\n\u2028\udc80ü"
    agent = Agent()
    agent.ends(planned(refusals=(refused(nasty, detail=nasty),)))
    text = encoded(agent.page(PLAN).document)
    assert text.isascii()
    assert "\x1b" not in text
    assert validated("plan", text)["registries"][0]["refused"][0]["container"] == nasty


@pytest.mark.parametrize(
    ("path", "parameter"),
    [("/api/v1/explain/web", "web"), ("/api/v1/explain/a/b", "a/b"), ("/api/v1/explain/", None), ("/api/v1/x", None)],
)
def test_a_page_may_have_a_parameter(path: str, parameter: str | None) -> None:
    """It is what follows in the path. Without one there is no page."""
    echo: Callable[[str], Page] = lambda text: Page("200 OK", {"parameter": text})  # noqa: E731 - a page in a line
    pages = evolve(Agent().pages, with_parameter={"/api/v1/explain/": echo})
    build = pages.find(path)
    assert (build().document["parameter"] if build else None) == parameter


def test_moments_are_in_utc_and_have_milliseconds() -> None:
    """So they sort as text."""
    assert moment_text(0.0) == "1970-01-01T00:00:00.000Z"
    assert moment_text(1.2345) == "1970-01-01T00:00:01.234Z"
    assert moment_text(None) is None
