"""Tests of how a pass renews the heartbeat."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.reconcile.one_pass import reconcile
from model.heartbeat import TEXT, Heartbeat
from model.record import RecordKeys
from model.report import PassResult
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, serving

KEY = RecordKeys("/services").heartbeat("core-01")


class BeatingHost(Host):
    """The host core-01, whose agent renews its heartbeat every ten seconds. It has one container."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(serving("web"), **settings)
        self.settings = evolve(self.settings, heartbeat=Heartbeat(10))

    @property
    def beats(self) -> int:
        """How often the heartbeat was renewed."""
        return self.registry.requests.count("heartbeat")


def test_the_heartbeat_is_renewed_every_so_many_seconds() -> None:
    """The first pass writes it. It expires after three times as long."""
    host = BeatingHost()
    for _ in range(21):
        host.has_a_pass()
    assert host.beats == 3
    assert (host.registry.stored[KEY].value, host.registry.stored[KEY].ttl) == (TEXT, 30)


def test_without_heartbeat_there_is_no_request_for_it() -> None:
    """This is the default."""
    host = Host(serving("web"))
    for _ in range(3):
        host.has_a_pass()
    assert "heartbeat" not in host.registry.requests
    assert KEY not in host.registry.stored


def test_the_heartbeat_is_the_last_request_of_a_pass() -> None:
    """No change waits for it."""
    host = BeatingHost()
    host.has_a_pass()
    assert host.registry.requests[-1] == "heartbeat"


def test_a_hurried_pass_does_not_renew_it() -> None:
    """An ordinary one does, at most an interval later."""
    host = BeatingHost()
    host.has_a_pass()
    host.time.advance(60)
    report = reconcile(host.settings, host.source, host.registry, host.memory, hurried=True)
    assert (host.beats, report.heartbeat_at) == (1, None)


def test_it_is_renewed_while_the_engine_does_not_answer() -> None:
    """The agent is alive. At its start, it does not know yet whether the name is its own, and waits."""
    host = BeatingHost()
    host.source.problem = "no"
    assert host.tries_a_pass().result is PassResult.ENGINE_ERROR
    assert host.beats == 0
    host.source.problem = ""
    host.has_a_pass()
    host.source.problem = "no"
    host.time.advance(10)
    assert host.tries_a_pass().result is PassResult.ENGINE_ERROR
    assert host.beats == 2


def test_a_host_whose_name_is_another_ones_shows_no_heartbeat() -> None:
    """The key would say that the agent of the other engine is alive."""
    host = BeatingHost()
    host.has_a_pass()
    other = BeatingHost(registry=host.registry, engine="another")
    assert other.tries_a_pass().result is PassResult.OWNER_CONFLICT
    assert host.beats == 1


def test_a_registry_that_does_not_answer_is_not_asked_once_more() -> None:
    """The pass has failed, and the next one tries it."""
    host = BeatingHost()
    host.registry.down = True
    assert host.tries_a_pass().result is PassResult.REGISTRY_ERROR
    assert host.beats == 0


def test_a_heartbeat_that_is_refused_does_not_fail_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has the problem, and it is tried again when it is due again. It gets a second at most."""
    host = BeatingHost()
    left: list[float] = []

    def refuse(self: RecordingRegistry, owner: str, heartbeat: Heartbeat, deadline: Deadline) -> None:
        left.append(deadline.left)
        raise RegistryUnavailable("permission denied")

    monkeypatch.setattr(RecordingRegistry, "show_alive", refuse)
    assert host.has_a_pass().heartbeat_problem == "permission denied"
    assert host.has_a_pass().heartbeat_problem == ""
    assert left == [1.0]
