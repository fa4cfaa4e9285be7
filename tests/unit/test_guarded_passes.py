"""The guard, and the memory that it needs, over several passes of one agent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from controller.clock import Deadline
from controller.reconcile.one_pass import PassSettings, reconcile
from model.container import Container
from model.guard import OFF
from model.layout import PlainLayout
from model.memory import Memory, memory_after
from model.plan import Reason
from model.report import PassReport
from model.rules import AddressRules, Rules
from model.stored import Actual, StorePosition
from tests.support.builders import container
from tests.support.fakes import FakeSource, FakeTime
from tests.support.memory_registry import MemoryRegistry


class Host:
    """An agent with its memory, over a registry that may be replaced."""

    def __init__(self, *names: str) -> None:
        self.registry = MemoryRegistry()
        self.source = FakeSource()
        self.memory = Memory()
        rules = Rules("core-01", AddressRules(ip="10.0.0.1"))
        self.task = PassSettings(rules, PlainLayout("/services"), clock=FakeTime().clock)
        self.runs(*names)

    def runs(self, *names: str) -> None:
        """From now on it runs these."""
        self.source.containers = [serving(name) for name in names]

    def has_a_pass(self) -> PassReport:
        """One pass; it must succeed."""
        report = reconcile(self.task, self.source, self.registry, self.memory)
        assert report.succeeded
        self.memory = memory_after(report, self.memory)
        return report

    def restarts(self) -> None:
        """The agent forgets all."""
        self.memory = Memory()

    @property
    def registered(self) -> set[str]:
        """The containers that are registered."""
        return {key.split(":")[1] for key in self.registry.stored if key.startswith("/services/")}


def serving(name: str) -> Container:
    """A container with an id of registrator's form."""
    return container(name, publish={"80/tcp": "0.0.0.0:8000"})


SIX = tuple("abcdef")


@pytest.fixture
def host() -> Host:
    """A host that runs six containers, all registered, and whose agent has seen them so."""
    host = Host(*SIX)
    host.has_a_pass()
    host.has_a_pass()
    return host


def test_a_mass_delete_is_made_on_the_third_pass(host: Host) -> None:
    """Two are held back, one goes; each of them a success, as nothing failed."""
    host.runs("a")
    held = [len(host.has_a_pass().plan.held_back) for _ in range(2)]
    assert (held, host.registered) == ([5, 5], set(SIX))
    report = host.has_a_pass()
    assert (report.plan.held_back, host.registered) == ((), {"a"})
    assert {each.change.reason for each in report.outcomes} == {Reason.GONE}


def test_creates_and_updates_go_on_meanwhile(host: Host) -> None:
    """Only deletes wait."""
    host.runs("x", "y")
    report = host.has_a_pass()
    assert (len(report.plan.held_back), host.registered) == (6, {*SIX, "x", "y"})


def test_containers_that_come_back_in_time_lose_nothing(host: Host) -> None:
    """An engine that is being restarted shows none for a moment; the next mass delete is counted anew."""
    version = host.registry.version
    host.runs()
    host.has_a_pass()
    host.has_a_pass()
    host.runs(*SIX)
    host.has_a_pass()
    assert (host.registry.version, dict(host.memory.held_delete_counts)) == (version, {})
    host.runs()
    assert [len(host.has_a_pass().plan.held_back) for _ in range(3)] == [6, 6, 0]


def test_an_agent_that_restarts_counts_anew(host: Host) -> None:
    """What it has not seen itself it does not count."""
    host.runs()
    for _ in range(2):
        host.has_a_pass()
        host.restarts()
    assert len(host.has_a_pass().plan.held_back) == 6


def test_a_pass_that_saw_nothing_interrupts_no_count(host: Host) -> None:
    """Unknown is not absent, nor present."""
    host.runs()
    host.has_a_pass()
    host.registry.down = True
    report = reconcile(host.task, host.source, host.registry, host.memory)
    host.memory = memory_after(report, host.memory)
    host.registry.down = False
    host.has_a_pass()
    assert len(host.has_a_pass().outcomes) == 6


def test_few_deletes_go_at_once(host: Host) -> None:
    """Half of them, or three."""
    host.runs("a", "b", "c")
    host.has_a_pass()
    assert host.registered == {"a", "b", "c"}
    host.runs()
    host.has_a_pass()
    assert host.registered == set()


def test_without_a_guard_all_go_at_once(host: Host) -> None:
    """``--delete-guard 0``, and ``reconcile --force``."""
    host.task = evolve(host.task, guard=OFF)
    host.runs()
    host.has_a_pass()
    assert host.registered == set()


def test_custom_ids_are_guarded_alike() -> None:
    """And their claims stand while they are held back."""
    host = Host()
    host.source.containers = [
        container(name, publish={"80/tcp": "0.0.0.0:8000"}, env=(f"SERVICE_ID=custom-{name}",)) for name in SIX
    ]
    host.has_a_pass()
    version = host.registry.version
    host.runs()
    assert [len(host.has_a_pass().plan.held_back) for _ in range(2)] == [6, 6]
    assert host.registry.version == version
    host.has_a_pass()
    host.has_a_pass()
    assert host.registry.keys() == {}


# Another store.


def wipe(host: Host) -> None:
    """etcd comes back empty, its index lower than before."""
    host.registry.stored.clear()
    host.registry.version = 0


def replace(host: Host) -> None:
    """Another cluster stands in its place, with an index of its own."""
    host.registry.stored.clear()
    host.registry.version, host.registry.cluster = 1_000, "another"


@pytest.mark.parametrize("change", [wipe, replace])
def test_another_store_is_a_fresh_start(host: Host, change: Callable[[Host], None]) -> None:
    """It is said once; everything is written as new, not as repaired, and nothing is deleted."""
    change(host)
    report = host.has_a_pass()
    assert report.replaced
    assert {each.change.reason for each in report.outcomes} == {Reason.NEW, Reason.CLAIMS}
    assert host.registered == set(SIX)
    again = host.has_a_pass()
    assert (again.replaced, again.outcomes) == (False, ())


def test_a_restored_store_starts_the_guards_count_anew(host: Host) -> None:
    """What was about to go waits again: the count was of another store."""
    host.runs("a")
    host.has_a_pass()
    host.has_a_pass()
    host.registry.version -= 1
    report = host.has_a_pass()
    assert (report.replaced, len(report.plan.held_back), dict(host.memory.held_delete_counts)) == (
        True,
        5,
        {f"/services/nginx/core-01:{name}:80": 1 for name in "bcdef"},
    )
    assert host.registered == set(SIX)


class Lagging(MemoryRegistry):
    """A registry that lags behind by a write, but where an answer must be consistent."""

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader."""
        actual = super().read(owner, deadline, consistent=consistent)
        return actual if consistent else evolve(actual, store_position=StorePosition(self.cluster, self.version - 1))


def test_an_answer_that_lags_behind_is_no_other_store(host: Host) -> None:
    """A member may be behind the one that answered before: a consistent look settles it."""
    lagging = Lagging()
    lagging.stored, lagging.version = host.registry.stored, host.registry.version
    host.registry = lagging
    report = host.has_a_pass()
    assert (report.replaced, report.outcomes) == (False, ())
