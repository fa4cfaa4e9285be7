"""The page about a container, validated with its schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from controller.observe.api.explain import ExplainPage
from controller.observe.api.pages import NOT_YET
from controller.observe.api.values import encoded, moment_text
from controller.observe.last_reports import LastReports
from model.candidates import LeftOutReason
from model.container_lookup import EngineLookup
from model.desired import ExclusionReason, HoldReason
from model.explanation import KeyState, PortState, Verdict
from model.plan import Action, Reason
from model.refusal import RefusalReason
from model.report import PassReport, PassResult, Result
from model.rules import AddressRules, Deregister
from tests.support.builders import container
from tests.support.fakes import EPOCH
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, serving
from tests.support.reports import failed
from tests.support.schemas import schema, validated

URI = "etcd://a:2379/services"


class Page:
    """The page of an agent, and what it asks of the engine."""

    def __init__(self, *labels: str, lookup: EngineLookup | None = None) -> None:
        self.loops = {label: LastReports() for label in labels or ("etcd",)}
        self.asked: list[str] = []
        self._lookup = lookup or EngineLookup()
        self.of = ExplainPage(dict.fromkeys(self.loops, URI), self.loops, self._look_up, ("label=a",))

    def _look_up(self, text: str) -> EngineLookup:
        self.asked.append(text)
        return self._lookup

    def after(self, *reports: PassReport, label: str = "etcd") -> Page:
        """End passes, and return the page itself."""
        for seconds, report in enumerate(reports):
            self.loops[label].ended(report, EPOCH + seconds, 1.0)
        return self

    def document(self, text: str = "web") -> dict[str, Any]:
        """Return the page about a container, which is one of the schema."""
        status, document = self.of(text)
        assert status == "200 OK"
        return validated("explain", encoded(document))

    def registry(self, text: str = "web") -> dict[str, Any]:
        """Return its part about the only registry."""
        (only,) = self.document(text)["registries"]
        assert isinstance(only, dict)
        return only


def unaddressed() -> PassReport:
    """Return the report of a pass that did not know this host's address."""
    host = Host(serving())
    host.settings = evolve(host.settings, rules=evolve(host.settings.rules, address=AddressRules()))
    return host.tries_a_pass()


def held() -> PassReport:
    """Return the report of a pass that held the key of a failed container."""
    host = Host(serving(), deregister=Deregister.ON_SUCCESS)
    host.has_a_pass()
    host.runs(evolve(serving(), status="exited", exit_code=3))
    return host.has_a_pass()


def conflicting() -> PassReport:
    """Return the report of a pass that found the wanted key in foreign hands."""
    registry = RecordingRegistry()
    registry.put("/services/nginx/x", "10.0.0.9:1")
    return Host(serving("web", "SERVICE_ID=x"), registry=registry).tries_a_pass()


@pytest.mark.parametrize(
    ("make", "verdict"),
    [
        pytest.param(lambda: Host(serving()).tries_a_pass(), "registered", id="registered"),
        pytest.param(unaddressed, "not-registered", id="no-address"),
        pytest.param(lambda: Host(container(publish={"80/tcp": ""})).tries_a_pass(), "not-registered", id="left-out"),
        pytest.param(conflicting, "not-registered", id="conflict"),
        pytest.param(held, "not-running", id="held"),
        pytest.param(lambda: Host().tries_a_pass(), "absent", id="absent"),
        pytest.param(failed, "unknown", id="no-plan"),
    ],
)
def test_every_explanation_is_of_the_schema(make: Callable[[], PassReport], verdict: str) -> None:
    """With each kind of field."""
    registry = Page().after(make()).registry()
    assert (registry["verdict"], registry["uri"]) == (verdict, URI)
    assert registry["explained"] == (verdict not in {"absent", "unknown"})


def test_an_entry_tells_what_gives_its_parts() -> None:
    """Name, id and address."""
    registry = Page().after(Host(serving("web", "SERVICE_TAGS=a")).tries_a_pass()).registry()
    (port,) = registry["ports"]
    assert port["entries"] == [
        {
            "key": "/services/nginx/core-01:web:80",
            "service": "nginx",
            "service_from": "the image's name 'nginx'",
            "id": "core-01:web:80",
            "id_from": "the default id 'core-01:web:80'",
            "address": "10.0.0.1",
            "address_from": "-ip",
            "port": 8000,
        }
    ]
    assert registry["container"] == {"id": "id-web", "name": "web", "state": "running", "exit_code": None}


def test_the_environment_of_a_container_is_not_shown() -> None:
    """What is no SERVICE_ variable is nobody's business."""
    web = evolve(serving("web", "SERVICE_NAME=shop"), env=("SERVICE_NAME=shop", "PASSWORD=correct-horse"))
    assert "horse" not in encoded(Page().after(Host(web).tries_a_pass()).document())


def test_the_last_plan_is_explained_although_later_passes_made_none() -> None:
    """The page says when that was, and how the last pass ended."""
    registry = Page().after(Host(serving()).tries_a_pass(), failed(problem="etcd is down")).registry()
    assert (registry["verdict"], registry["planned_at"]) == ("registered", moment_text(EPOCH))
    assert registry["last_pass"] == {
        "result": "registry-error",
        "problem": "etcd is down",
        "ended_at": moment_text(EPOCH + 1),
    }


def test_the_engine_is_asked_only_about_a_container_that_no_pass_knows() -> None:
    """What it says decides whether there is one."""
    ended = evolve(serving("old"), status="exited", exit_code=3)
    page = Page(lookup=EngineLookup((ended.ref,), ended)).after(Host(serving()).tries_a_pass())
    page.document("web")
    assert page.asked == []
    registry = page.registry("old")
    assert (page.asked, registry["verdict"], registry["container"]["exit_code"]) == (["old"], "not-running", 3)


def test_each_registry_is_told() -> None:
    """A registry whose first pass has not ended is left out. Before any has, there is no explanation."""
    page = Page("etcd", "etcd3")
    status, document = page.of("web")
    assert (status, validated("problems", encoded(document))["problems"]) == (NOT_YET, ["no pass has ended yet"])
    page.after(Host(serving()).tries_a_pass())
    assert [each["registry"] for each in page.document()["registries"]] == ["etcd"]
    page.after(failed(), label="etcd3")
    document = page.document()
    assert [each["verdict"] for each in document["registries"]] == ["registered", "unknown"]
    assert (document["asked"], document["decided_by"], document["explained"]) == ("web", "agent", True)


def test_the_filters_are_named() -> None:
    """As they were given."""
    report = Host(serving()).tries_a_pass()
    assert report.evidence is not None
    snapshot = evolve(report.evidence.snapshot, selected=frozenset())
    host = Host()
    host.source.read = lambda *args, **more: snapshot  # type: ignore[method-assign] # a source of one snapshot
    assert "--filter label=a does not select it" in Page().after(host.tries_a_pass()).registry()["answer"]


def test_the_schema_names_each_reason_and_state() -> None:
    """A new one has to be put into the schema, too."""
    parts = schema("explain")["$defs"]

    def choices(part: str, name: str) -> set[str]:
        return {each for each in parts[part]["properties"][name]["enum"] if each is not None}

    def values(*enums: type[Any]) -> set[str]:
        return {each.value for enum in enums for each in enum}

    assert choices("registry", "verdict") == values(Verdict)
    assert choices("registry", "reason") == values(ExclusionReason, HoldReason)
    assert choices("port", "state") == values(PortState)
    assert choices("port", "reason") == values(RefusalReason, LeftOutReason, Result)
    assert choices("key", "state") == values(KeyState)
    assert choices("key", "reason") == values(Reason)
    assert choices("key", "result") == values(Result)
    assert choices("key", "action") == values(Action) - {Action.RECORD.value, Action.NOTE.value}
    assert choices("last_pass", "result") == values(PassResult)
