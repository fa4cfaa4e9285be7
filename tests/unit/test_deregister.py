"""Taking a host out of service."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from controller.errors import RegistryUnavailable
from controller.reconcile.deregister import Owner, is_alive, removal_plan, remove
from controller.reconcile.one_pass import PassSettings, reconcile
from model.container import Container
from model.layout import PlainLayout
from model.memory import Memory
from model.plan import Action
from model.record import Claim, OwnerRecord, RecordKeys
from model.report import Result
from model.rules import AddressRules, Rules
from model.stored import Lifetime
from tests.support.builders import container
from tests.support.fakes import FakeSource, FakeTime
from tests.support.memory_registry import RecordingRegistry

LAYOUT = PlainLayout("/services")
SHELF = RecordKeys("/services")
WEB, REDIS = "/services/nginx/core-01:web:80", "/services/nginx/redis-1"
RECORD, QUESTION = SHELF.record("core-01"), SHELF.liveness_query("core-01")

#: What others have there: a host of almost the same name, custom ids of nobody and of another host, and rubbish.
FOREIGN = {
    "/services/nginx/core-011:web:80": "10.0.0.11:80",
    "/services/nginx/core-02:web:80": "10.0.0.2:80",
    "/services/nginx/mysql-1": "10.0.0.2:3306",
    "/services/nginx/by-hand": "10.0.0.9:1",
    "/services/rubbish": "?",
}


def serving(name: str, *env: str) -> Container:
    """A container with a published port."""
    return container(name, publish={"80/tcp": "0.0.0.0:8000"}, env=env)


class Field:
    """A registry with the entries of core-01, which runs two containers, and of others."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.owner = Owner("core-01", LAYOUT, self.time.clock)
        self.registry = RecordingRegistry(lifetime=Lifetime(70, 60))
        self.source = FakeSource(serving("web"), serving("redis", "SERVICE_ID=redis-1"))
        self.agent_passes()
        for key, value in FOREIGN.items():
            self.registry.put(key, value)
        theirs = OwnerRecord("other", {"/services/nginx/mysql-1": Claim.of("id", ["10.0.0.2:3306"])})
        self.registry.put(SHELF.record("core-02"), theirs.encode())
        self.registry.writes.clear()

    def agent_passes(self) -> None:
        """A pass of the owner's agent."""
        rules = Rules("core-01", AddressRules(ip="10.0.0.1"))
        report = reconcile(PassSettings(rules, LAYOUT, clock=self.time.clock), self.source, self.registry, Memory())
        assert report.succeeded

    def removed(self) -> list[tuple[str, Result]]:
        """Remove what can be shown to be the owner's."""
        planned = removal_plan(self.owner, self.registry)
        return [(each.change.key, each.result) for each in remove(self.owner, self.registry, planned)]


@pytest.fixture
def field() -> Field:
    """A registry with the entries of several hosts."""
    return Field()


def test_what_leaves_is_what_can_be_shown_to_be_the_owners(field: Field) -> None:
    """By its id or by its record; reading it changes nothing, and is consistent."""
    version = field.registry.version
    field.registry.reads.clear()
    planned = removal_plan(field.owner, field.registry)
    assert [(each.action, each.key) for each in planned.changes] == [(Action.DELETE, WEB), (Action.DELETE, REDIS)]
    assert (planned.foreign, field.registry.version) == (len(FOREIGN), version)
    assert set(field.registry.reads) == {"consistent", "others"}


def test_the_entries_go_and_the_record_goes_last(field: Field) -> None:
    """Everybody else's stay; a second time there is nothing to do."""
    assert field.removed() == [(WEB, Result.APPLIED), (REDIS, Result.APPLIED)]
    assert field.registry.writes == [f"delete {WEB}", f"delete {REDIS}", f"delete {RECORD}"]
    assert field.registry.keys() == FOREIGN
    assert SHELF.record("core-02") in field.registry.stored
    assert removal_plan(field.owner, field.registry).changes == ()


@pytest.mark.parametrize("why", ["refused", "changed"])
def test_the_record_stays_while_anything_is_left(field: Field, why: str) -> None:
    """Without it nobody could tell whose the rest is."""
    planned = removal_plan(field.owner, field.registry)
    if why == "refused":
        field.registry.failing = lambda change: change.key == REDIS
    else:
        field.registry.put(REDIS, "10.0.0.1:8001")
    results = [each.result for each in remove(field.owner, field.registry, planned)]
    assert results == [Result.APPLIED, Result.FAILED if why == "refused" else Result.CONFLICT]
    assert {RECORD, REDIS} <= field.registry.stored.keys()
    field.registry.failing = lambda change: False
    assert [key for key, _ in field.removed()] == [REDIS]
    assert RECORD not in field.registry.stored


def test_an_entry_overwritten_by_hand_goes_and_one_that_another_host_took_stays(field: Field) -> None:
    """As in a pass."""
    field.registry.put(REDIS, "6.6.6.6:6")
    assert [each.key for each in removal_plan(field.owner, field.registry).changes] == [WEB, REDIS]
    claims = {REDIS: Claim.of("id", ["6.6.6.6:6"])}
    field.registry.put(SHELF.record("core-03"), OwnerRecord("third", claims).encode())
    assert [each.key for each in removal_plan(field.owner, field.registry).changes] == [WEB]


@pytest.mark.parametrize("record", [None, "rubbish"], ids=["no record", "rubbish"])
def test_an_owner_without_a_record_loses_what_its_ids_tell(field: Field, record: str | None) -> None:
    """What registrator left under one of its random host names, say."""
    if record is None:
        field.registry.remove(RECORD)
    else:
        field.registry.put(RECORD, record)
    field.removed()
    assert field.registry.keys() == FOREIGN | {REDIS: "10.0.0.1:8000"}


def test_an_owner_of_whom_nobody_has_heard_has_nothing_to_lose(field: Field) -> None:
    """Not even those whose names begin alike."""
    assert removal_plan(Owner("core-0", LAYOUT, field.time.clock), field.registry).changes == ()


def test_a_registry_that_does_not_answer_is_no_empty_one(field: Field) -> None:
    """It is an error, and not an owner without entries."""
    field.registry.down = True
    with pytest.raises(RegistryUnavailable):
        removal_plan(field.owner, field.registry)


class Waiting:
    """Waits, as ``is_alive`` does between two looks; a living agent has a pass meanwhile, ``at`` the third time."""

    def __init__(self, field: Field, *, at: int = 3) -> None:
        self._field, self._at = field, at
        self.waits = 0

    def __call__(self, seconds: float) -> None:
        """One wait."""
        self.waits += 1
        self._field.time.advance(seconds)
        if self.waits == self._at:
            self._field.agent_passes()


def sleeping(owner: Owner, sleep: Callable[[float], None]) -> Owner:
    """The owner with a clock that sleeps in this way."""
    return evolve(owner, clock=evolve(owner.clock, sleep=sleep))


def test_a_living_agent_answers(field: Field) -> None:
    """With its next pass; nobody waits longer than that."""
    waiting = Waiting(field)
    assert is_alive(sleeping(field.owner, waiting), field.registry, 10)
    assert waiting.waits == 3
    assert QUESTION not in field.registry.stored


def test_an_agent_that_answers_at_the_last_moment_is_alive(field: Field) -> None:
    """The last look counts."""
    assert is_alive(sleeping(field.owner, Waiting(field, at=1)), field.registry, 0.1)


def test_a_dead_agent_does_not_and_the_question_goes(field: Field) -> None:
    """After the time that was given; it had a lifetime besides, should the one who asks be killed."""
    asked = []

    def wait(seconds: float) -> None:
        asked.append(field.registry.stored[QUESTION].ttl)
        field.time.advance(seconds)

    assert not is_alive(sleeping(field.owner, wait), field.registry, 10)
    assert set(asked) == {70}
    assert 50 <= len(asked) <= 51
    assert QUESTION not in field.registry.stored


def test_a_question_that_somebody_else_has_put_is_waited_for_too(field: Field) -> None:
    """Two operators at once: one answer does for both."""
    field.registry.put(QUESTION, "is your agent alive?", 30)
    assert is_alive(sleeping(field.owner, Waiting(field)), field.registry, 10)


def test_another_owners_agent_does_not_answer(field: Field) -> None:
    """Only whose question it is."""
    dead = Owner("core-02", LAYOUT, field.time.clock)
    assert not is_alive(sleeping(dead, Waiting(field)), field.registry, 10)


def test_without_patience_nobody_is_alive(field: Field) -> None:
    """``--wait 0`` asks, and does not wait."""
    assert not is_alive(sleeping(field.owner, Waiting(field)), field.registry, 0)
    assert QUESTION not in field.registry.stored


def test_a_question_that_cannot_be_put_says_nothing(field: Field) -> None:
    """It is no sign of life."""
    field.registry.down = True
    with pytest.raises(RegistryUnavailable, match="cannot ask whether the agent is alive"):
        is_alive(sleeping(field.owner, field.time.advance), field.registry, 5)


def test_an_entry_that_another_host_writes_alike_is_that_hosts_by_now(field: Field) -> None:
    """A standby with the same address, which has written it down, keeps it."""
    claim = Claim.of("id", [field.registry.keys()[REDIS]])
    field.registry.put(SHELF.record("core-03"), OwnerRecord("third", {REDIS: claim}).encode())
    assert [change.key for change in removal_plan(field.owner, field.registry).changes] == [WEB]
