"""The pass, the guard, and the memory that the guard needs, over several passes of one agent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from controller.effects.clock import Deadline
from model.guard import OFF
from model.plan import Reason
from model.snapshot import Presence
from model.stored import Actual, StorePosition
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, serving

SIX = tuple("abcdef")


def run_only(host: Host, *names: str) -> None:
    """Replace the containers that the host runs by these."""
    host.runs(*map(serving, names))


def registered(host: Host) -> set[str]:
    """Return the names of the containers that have an entry."""
    return {key.split(":")[1] for key in host.registry.stored if key.startswith("/services/")}


@pytest.fixture
def host() -> Host:
    """Return a host that runs six containers, all registered, whose agent knows the entries."""
    host = Host(*map(serving, SIX))
    host.has_a_pass()
    host.has_a_pass()
    return host


def stop(host: Host, *names: str) -> None:
    """Stop these containers: they leave the list, and the engine still has them."""
    host.runs(*(each for each in host.source.containers if each.name not in names))
    host.source.presences |= dict.fromkeys(map("id-{}".format, names), Presence.STOPPED)


def hide(host: Host, *names: str) -> None:
    """Remove these containers from the engine's list, although they run."""
    host.runs(*(each for each in host.source.containers if each.name not in names))
    host.source.presences |= dict.fromkeys(map("id-{}".format, names), Presence.RUNNING)


def held_back(host: Host) -> int:
    """Make a pass and return how many deletes it held back."""
    return len(host.has_a_pass().plan.held_back)


def test_a_mass_delete_is_made_by_the_third_pass_that_plans_it(host: Host) -> None:
    """The containers do not exist any more. Two passes hold their deletes back, and the third pass makes them. All
    three passes succeed."""
    run_only(host, "a")
    held = [len(host.has_a_pass().plan.held_back) for _ in range(2)]
    assert (held, registered(host)) == ([5, 5], set(SIX))
    report = host.has_a_pass()
    assert (report.plan.held_back, registered(host)) == ((), {"a"})
    assert {each.change.reason for each in report.outcomes} == {Reason.GONE}


def test_creates_are_made_while_deletes_are_held_back(host: Host) -> None:
    """The guard holds back deletes only."""
    run_only(host, "x", "y")
    report = host.has_a_pass()
    assert (len(report.plan.held_back), registered(host)) == (6, {*SIX, "x", "y"})


def test_containers_that_come_back_before_the_third_pass_keep_their_entries(host: Host) -> None:
    """An engine that is restarting may list no container for a moment. The next mass delete is counted from the
    start."""
    version = host.registry.version
    run_only(host)
    host.has_a_pass()
    host.has_a_pass()
    run_only(host, *SIX)
    host.has_a_pass()
    assert (host.registry.version, dict(host.memory.held_deletes)) == (version, {})
    run_only(host)
    assert [len(host.has_a_pass().plan.held_back) for _ in range(3)] == [6, 6, 0]


def test_an_agent_that_restarts_counts_held_deletes_from_the_start(host: Host) -> None:
    """An agent counts only passes of its own, and the counts are in its memory."""
    run_only(host)
    for _ in range(2):
        host.has_a_pass()
        host.restarts()
    assert len(host.has_a_pass().plan.held_back) == 6


def test_the_three_passes_take_two_seconds_at_least(host: Host) -> None:
    """With --interval 0.2, or with SIGHUPs, a third pass may come long before two seconds are over. Then the deletes
    wait on."""
    host.interval = 0.25
    run_only(host)
    assert [held_back(host) for _ in range(9)] == [6, 6, 6, 6, 6, 6, 6, 6, 0]


@pytest.mark.parametrize("fails", ["engine", "registry"])
def test_a_pass_that_makes_no_plan_makes_the_guard_count_anew(host: Host, fails: str) -> None:
    """The guard counts only passes in a row, because an engine that failed in between may no longer run what it ran
    before."""
    run_only(host)
    assert [held_back(host), held_back(host)] == [6, 6]
    host.source.problem, host.registry.down = ("it restarts", False) if fails == "engine" else ("", True)
    assert not host.tries_a_pass().succeeded
    host.source.problem, host.registry.down = "", False
    assert [held_back(host) for _ in range(3)] == [6, 6, 0]


# What the engine says of each container.


def test_the_entries_of_stopped_containers_are_deleted_at_once(host: Host) -> None:
    """Such deletes do not wait, however many there are."""
    stop(host, *SIX)
    assert (held_back(host), registered(host)) == (0, set())


def test_a_list_that_lacks_what_runs_deletes_nothing_for_two_seconds() -> None:
    """The guard also protects a host that has too few entries for a suspicious number of deletes."""
    for names in ("a", "abc", SIX):
        host = Host(*map(serving, names), owner="core-01")
        host.interval = 0.25
        host.has_a_pass()
        hide(host, *names)
        assert [held_back(host) for _ in range(9)] == [*[len(names)] * 8, 0]
        assert registered(host) == set()


def test_a_container_that_the_list_has_again_keeps_its_key_untouched(host: Host) -> None:
    """Nothing is written while the list lacks the container, nor when the list has it again."""
    version = host.registry.version
    hide(host, "a")
    assert [held_back(host), held_back(host)] == [1, 1]
    run_only(host, *SIX)
    assert (held_back(host), host.registry.version, dict(host.memory.held_deletes)) == (0, version, {})


def test_a_delete_that_waits_is_made_when_the_engine_says_that_its_container_stopped(host: Host) -> None:
    """This happens if the engine was slow to answer, or if a restart of the container ended badly."""
    host.runs(*host.source.containers[1:])
    host.source.presences["id-a"] = Presence.UNKNOWN
    assert held_back(host) == 1
    host.source.presences["id-a"] = Presence.STOPPED
    assert (held_back(host), "a" in registered(host)) == (0, False)


def test_the_engine_is_asked_once_a_pass_for_the_containers_of_deletes_alone(host: Host) -> None:
    """The engine is asked after registry and containers were read for the second time. An idle pass does not ask it at
    all."""
    host.registry.requests.clear()
    host.has_a_pass()
    assert [each for each in host.registry.requests if each.startswith("presence")] == []
    stop(host, "b", "a")
    host.has_a_pass()
    asked = [each for each in host.registry.requests if each.startswith("presence")]
    assert asked == ["presence of id-a", "presence of id-b"]


def test_an_orphan_is_asked_for_by_the_name_in_its_key(host: Host) -> None:
    """An agent that has just started does not know the id of an orphan's container."""
    host.restarts()
    hide(host, "a")
    host.source.presences["a"] = Presence.RUNNING
    assert (held_back(host), "a" in registered(host)) == (1, True)
    assert "presence of a" in host.registry.requests


def test_a_key_under_a_custom_id_is_asked_for_by_the_id_in_its_claim() -> None:
    """The id is in the owner record, so an agent that has just started knows it."""
    host = Host(serving("a", "SERVICE_ID=custom"))
    host.has_a_pass()
    host.restarts()
    hide(host, "a")
    assert (held_back(host), list(host.registry.keys())) == (1, ["/services/nginx/custom"])


def test_what_is_known_of_a_listed_container_supports_a_delete(host: Host) -> None:
    """One container was renamed, the port of another one is not published any more, and a third one is being restarted.
    The list shows all that, so the engine is asked nothing else."""
    a, b, c, *others = host.source.containers
    host.runs(evolve(a, name="renamed"), evolve(b, published={}), evolve(c, status="restarting"), *others)
    assert held_back(host) == 0
    assert registered(host) == {"renamed", "d", "e", "f"}
    assert not [each for each in host.registry.requests if each.startswith("presence")]


def test_many_deletes_for_listed_containers_wait(host: Host) -> None:
    """Otherwise an agent that was started with other flags would delete most of the host's entries at once."""
    host.settings = evolve(host.settings, rules=evolve(host.settings.rules, explicit=True))
    assert [held_back(host) for _ in range(3)] == [6, 6, 0]
    assert registered(host) == set()


def test_few_deletes_are_made_at_once(host: Host) -> None:
    """Where the containers do not exist any more, the guard does not hold back deletes of up to half of the entries,
    nor of up to three entries."""
    run_only(host, "a", "b", "c")
    host.has_a_pass()
    assert registered(host) == {"a", "b", "c"}
    run_only(host)
    host.has_a_pass()
    assert registered(host) == set()


def test_all_deletes_are_made_at_once_without_a_guard(host: Host) -> None:
    """--delete-guard 0 and reconcile --force turn the guard off. Then the engine is not asked about the containers
    either."""
    host.settings = evolve(host.settings, guard=OFF)
    hide(host, *SIX)
    host.registry.requests.clear()
    host.has_a_pass()
    assert registered(host) == set()
    assert not [each for each in host.registry.requests if each.startswith("presence")]


def test_deletes_of_custom_ids_are_held_back_as_well() -> None:
    """Their claims stay in the owner record while they are held back."""
    host = Host(*(serving(name, f"SERVICE_ID=custom-{name}") for name in SIX))
    host.has_a_pass()
    version = host.registry.version
    run_only(host)
    assert [len(host.has_a_pass().plan.held_back) for _ in range(2)] == [6, 6]
    assert host.registry.version == version
    host.has_a_pass()
    host.has_a_pass()
    assert host.registry.keys() == {}


# A store that is not the one of the pass before.


def wipe(host: Host) -> None:
    """Empty the store and set its index back."""
    host.registry.stored.clear()
    host.registry.version = 0


def replace(host: Host) -> None:
    """Put an empty store of another cluster, with another index, in place of the store."""
    host.registry.stored.clear()
    host.registry.version, host.registry.cluster = 1_000, "another"


@pytest.mark.parametrize("change", [wipe, replace])
def test_all_entries_are_written_as_new_to_a_replaced_store(host: Host, change: Callable[[Host], None]) -> None:
    """One report says that the store was replaced. The reason of the creates is new, not missing, and nothing is
    deleted."""
    change(host)
    report = host.has_a_pass()
    assert report.replaced
    assert {each.change.reason for each in report.outcomes} == {Reason.NEW, Reason.CLAIMS}
    assert registered(host) == set(SIX)
    again = host.has_a_pass()
    assert (again.replaced, again.outcomes) == (False, ())


def test_held_deletes_are_counted_from_the_start_in_a_restored_store(host: Host) -> None:
    """The counts of earlier passes are about another store."""
    run_only(host, "a")
    host.has_a_pass()
    host.has_a_pass()
    host.registry.version -= 1
    report = host.has_a_pass()
    assert (report.replaced, {key: each.passes for key, each in host.memory.held_deletes.items()}) == (
        True,
        {f"/services/nginx/core-01:{name}:80": 1 for name in "bcdef"},
    )
    assert registered(host) == set(SIX)


class Stale(RecordingRegistry):
    """A registry whose reads are older by one write, unless they are consistent."""

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader."""
        actual = super().read(owner, deadline, consistent=consistent)
        return actual if consistent else evolve(actual, store_position=StorePosition(self.cluster, self.version - 1))


def test_a_stale_read_is_not_taken_for_a_replaced_store(host: Host) -> None:
    """A cluster member may be behind the one that answered before. A consistent read shows that the store is the same
    one."""
    stale = Stale()
    stale.stored, stale.version = host.registry.stored, host.registry.version
    host.registry = stale
    report = host.has_a_pass()
    assert (report.replaced, report.outcomes) == (False, ())
