"""Hurried passes, and deletes that the engine supports."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from attrs import evolve

from controller.effects.clock import Deadline
from controller.reconcile.one_pass import reconcile
from model.draining import Draining
from model.guard import OFF
from model.memory import memory_after
from model.report import PassReport
from model.snapshot import Snapshot
from tests.support.fakes import FakeSource
from tests.support.pass_harness import IP, Host, serving

WEB, DB = "/services/nginx/core-01:web:80", "/services/nginx/core-01:db:80"


class HintedSource(FakeSource):
    """A source whose engine told of the ``confirmed`` containers by themselves, and some of whose containers drain. How
    it was read is among the requests."""

    confirmed: frozenset[str] = frozenset()
    draining: Mapping[str, Draining] = {}

    def read(self, deadline: Deadline, *, hurried: bool = False, full: bool = False) -> Snapshot:
        """See Source."""
        self.requests.append("full" if full else "hurried" if hurried else "ordinary")
        confirmed = frozenset[str]() if full else self.confirmed
        return evolve(super().read(deadline), confirmed=confirmed, draining=self.draining)


class HintedHost(Host):
    """A host whose passes can be hurried. Its containers are those that ``runs`` was given last."""

    def __init__(self, *names: str) -> None:
        super().__init__(*(serving(name) for name in names))
        self.hinted = HintedSource(*self.source.containers, engine=self.source.identity().id)
        self.source = self.hinted
        self.source.requests = self.registry.requests

    def hurries(self) -> PassReport:
        """Make a hurried pass, which must succeed, and remember it."""
        self.registry.requests.clear()
        report = reconcile(self.settings, self.source, self.registry, self.memory, hurried=True)
        assert report.succeeded, report.problem
        self.memory = memory_after(report, self.memory)
        return report

    def ends(self, name: str, *, confirmed: bool) -> None:
        """End a container."""
        ended = {each.id for each in self.source.containers if each.name == name}
        self.source.containers = [each for each in self.source.containers if each.name != name]
        self.hinted.confirmed = frozenset(ended) if confirmed else frozenset()


def test_a_hurried_pass_reads_neither_engine_nor_registry() -> None:
    """It writes the entry of a container that has started, by what was observed before."""
    host = HintedHost("web")
    host.has_a_pass()
    host.runs(serving("web"), serving("db", number=8001))
    report = host.hurries()
    assert host.registry.keys() == {WEB: f"{IP}:8000", DB: f"{IP}:8001"}
    assert host.registry.requests == ["engine", "hurried", "containers", f"create {DB}"]
    assert not report.consistent


def test_a_supported_delete_is_made_without_reading_again() -> None:
    """The engine itself told that the container has ended."""
    host = HintedHost("web", "db")
    host.has_a_pass()
    host.ends("db", confirmed=True)
    host.hurries()
    assert host.registry.keys() == {WEB: f"{IP}:8000"}
    assert host.registry.requests == ["engine", "hurried", "containers", f"delete {DB}"]


def test_any_other_delete_reads_key_and_containers_again() -> None:
    """The registry comes first, as before every delete, and the inner prefixes are read anew. What the engine tells by
    its list decides."""
    host = HintedHost("web", "db")
    host.has_a_pass()
    host.ends("db", confirmed=False)
    host.hurries()
    assert host.registry.keys() == {WEB: f"{IP}:8000"}
    container_id = serving("db").id
    assert host.registry.requests == [
        "engine",
        "hurried",
        "containers",
        "keys, consistent",
        "engine",
        "full",
        "containers",
        "inner prefixes",
        f"presence of {container_id}",
        f"delete {DB}",
    ]


@pytest.mark.parametrize("confirmed", [True, False])
def test_the_guard_does_not_count_supported_deletes(confirmed: bool) -> None:
    """Four containers of four end at once, and the engine, when asked for them, does not know them any more."""
    names = ("web", "db", "mail", "cache")
    host = HintedHost(*names)
    host.has_a_pass()
    host.hinted.confirmed = frozenset(each.id for each in host.source.containers) if confirmed else frozenset()
    host.source.containers = []
    report = host.hurries()
    assert len(report.plan.held_back) == (0 if confirmed else 4)


def test_the_delete_for_a_container_that_drains_is_made_without_reading_again() -> None:
    """The key goes as fast as after an end, and the delete says why."""
    host = HintedHost("web", "db")
    host.has_a_pass()
    host.hinted.draining = {serving("db").id: Draining("TERM was sent")}
    report = host.hurries()
    assert host.registry.keys() == {WEB: f"{IP}:8000"}
    assert host.registry.requests == ["engine", "hurried", "containers", f"delete {DB}"]
    assert [each.change.detail for each in report.outcomes] == ["TERM was sent"]


def test_the_guard_does_not_count_what_drains() -> None:
    """All containers of the host are stopped at once. When they go on to run, their entries return."""
    names = ("web", "db", "mail", "cache")
    host = HintedHost(*names)
    host.has_a_pass()
    keys = host.registry.keys()
    host.hinted.draining = {serving(each).id: Draining("TERM was sent") for each in names}
    assert host.hurries().plan.held_back == ()
    assert host.registry.keys() == {}
    host.hinted.draining = {}
    host.hurries()
    assert host.registry.keys() == keys


def test_a_hurried_pass_that_looks_for_an_answer_to_a_query_is_an_ordinary_one() -> None:
    """Only the registry tells that the other engine's agent has answered."""
    host = HintedHost("web")
    host.settings = evolve(host.settings, take_over=True, guard=OFF)
    host.has_a_pass()
    other = HintedHost("web")
    other.registry, other.settings = host.registry, host.settings
    other.source = HintedSource(serving("web"), engine="ANOTHER")
    other.source.requests = other.registry.requests
    assert other.tries_a_pass().take_over is not None
    other.registry.requests.clear()
    reconcile(other.settings, other.source, other.registry, other.memory, hurried=True)
    assert "keys, consistent" in other.registry.requests
    assert "hurried" not in other.registry.requests


def test_without_an_earlier_pass_a_hurried_one_asks_for_inner_prefixes() -> None:
    """An entry must not land below one."""
    host = HintedHost("web")
    host.hurries()
    assert [each for each in host.registry.requests if each in {"keys", "inner prefixes"}] == ["keys", "inner prefixes"]
