"""Changing a drain order, and waiting until the agent has obeyed it."""

from __future__ import annotations

from math import inf

import pytest
from attrs import evolve

from controller.effects.clock import Clock
from controller.errors import OwnerConflict, RegistryUnavailable
from controller.reconcile.drain import MAX_WAIT, TRIES, DrainedOwner, seconds_to_obey
from model.agent_note import AgentNote
from model.drain_order import NO_DRAIN, DrainedContainer, DrainOrder
from model.layout import PlainLayout
from model.record import OwnerRecord, RecordKeys
from model.stored import Stored
from tests.support.fakes import ENGINE, EPOCH
from tests.support.pass_harness import Host, serving

RECORD_KEYS = RecordKeys("/services")
ORDER_KEY, NOTE_KEY = RECORD_KEYS.drain_order("core-01"), RECORD_KEYS.agent_note("core-01")
WEB_KEY, REDIS_KEY = "/services/nginx/core-01:web:80", "/services/nginx/redis-1"

WEB = DrainedContainer("id-web", "", "web")
DB = DrainedContainer("id-db", "", "db")

#: An agent that makes a pass each second, and may take two seconds for it.
NOTE = AgentNote("0.2.0", 1.0, 2.0, 30.0, {}, "run-1")


class DrainedHost(Host):
    """core-01, which runs two containers. While somebody sleeps, time passes and its agent makes passes, unless it has
    stopped."""

    def __init__(self) -> None:
        super().__init__(serving("web"), serving("redis", "SERVICE_ID=redis-1", number=8001))
        self.settings = evolve(self.settings, note=NOTE)
        self.agent_runs = True
        self.has_a_pass()
        clock = Clock(self.time.clock.wall, self.time.clock.monotonic, self.sleep)
        self.owner = DrainedOwner("core-01", ENGINE, PlainLayout("/services"), self.registry, clock)
        self.registry.writes.clear()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.time.advance(seconds)
        if self.agent_runs:
            self.interval = 0.0
            self.has_a_pass()

    def order(self) -> DrainOrder | None:
        """Return the order that the registry holds; None if there is no key."""
        stored = self.registry.stored.get(ORDER_KEY)
        return DrainOrder.decode(stored.value) if stored else None


@pytest.fixture
def host() -> DrainedHost:
    """Return a host whose containers are registered."""
    return DrainedHost()


def with_web(order: DrainOrder) -> DrainOrder:
    """Let one container drain."""
    return order.with_containers([WEB])


# Changing the order.


def test_an_order_is_created_changed_and_removed(host: DrainedHost) -> None:
    """When an order drains nothing any more, its key is removed."""
    assert host.owner.change_order(with_web) == NO_DRAIN.with_containers([WEB]) == host.order()
    host.owner.change_order(lambda order: order.with_containers([DB]))
    assert host.order() == NO_DRAIN.with_containers([WEB, DB])
    host.owner.change_order(lambda order: order.without_containers(["id-web", "id-db"]))
    assert host.order() is None
    assert host.registry.writes == [f"create {ORDER_KEY}", f"update {ORDER_KEY}", f"delete {ORDER_KEY}"]


def test_an_order_that_is_there_already_is_not_written_again(host: DrainedHost) -> None:
    """Nor is a key removed that is not there. Nothing under the prefix is read."""
    host.owner.change_order(lambda order: order)
    host.owner.change_order(with_web)
    host.registry.reads.clear()
    host.owner.change_order(with_web)
    assert (host.registry.writes, host.registry.reads) == ([f"create {ORDER_KEY}"], [])


def test_what_has_ended_is_left_out_of_a_new_order(host: DrainedHost) -> None:
    """So an order does not grow with each drain."""
    host.owner.change_order(lambda order: order.with_containers([evolve(DB, until=EPOCH + 5.0)]))
    host.time.advance(5.0)
    host.owner.change_order(with_web)
    assert host.order() == NO_DRAIN.with_containers([WEB])


def test_an_unreadable_order_is_replaced(host: DrainedHost) -> None:
    """The agent treats it as none, too. One that is to be empty is removed."""
    for edit, after in ((with_web, NO_DRAIN.with_containers([WEB])), (lambda order: order, None)):
        host.registry.put(ORDER_KEY, "rubbish")
        host.owner.change_order(edit)
        assert host.order() == after


def test_a_change_of_others_meanwhile_is_kept(host: DrainedHost) -> None:
    """Two operators drain a container each at the same moment, and both drain."""
    others = iter([NO_DRAIN.with_containers([DB]), DrainOrder({DB.id: DB}, inf)])

    def interfere() -> None:
        if other := next(others, None):
            host.registry.put(ORDER_KEY, other.encode())

    host.registry.before_write = interfere
    assert host.owner.change_order(with_web) == DrainOrder({DB.id: DB, WEB.id: WEB}, inf) == host.order()


def test_a_change_that_others_overtake_again_and_again_is_given_up(host: DrainedHost) -> None:
    """Nobody does that on purpose, and the command must end."""
    host.registry.before_write = lambda: host.registry.put(ORDER_KEY, f"rubbish {host.registry.version}")
    with pytest.raises(RegistryUnavailable, match=f"others changed it {TRIES} times"):
        host.owner.change_order(with_web)
    assert len(host.registry.writes) == TRIES


def test_a_registry_that_does_not_take_the_order_is_an_error(host: DrainedHost) -> None:
    """Whether it refuses the change or does not answer, and whether it can be read or not."""
    host.registry.rejecting = lambda change: True
    with pytest.raises(RegistryUnavailable, match="cannot change the drain order: permission denied"):
        host.owner.change_order(with_web)
    host.registry.down = True
    with pytest.raises(RegistryUnavailable, match="it is down"):
        host.owner.change_order(with_web)


def test_the_order_of_another_engine_is_left_alone(host: DrainedHost) -> None:
    """Two hosts have one name. The agent of the other one would obey an order for all containers."""
    host.registry.put(RECORD_KEYS.record("core-01"), OwnerRecord("9XYZ").encode())
    with pytest.raises(OwnerConflict, match="belongs to the engine 9XYZ"):
        host.owner.change_order(with_web)
    assert host.order() is None
    evolve(host.owner, engine_id="").change_order(with_web)
    assert host.order()


# Waiting for the agent.


@pytest.mark.parametrize(
    ("containers", "stays"),
    [({"id-web", "web"}, [REDIS_KEY]), ({"id-redis", "redis"}, [WEB_KEY]), (None, [])],
    ids=["default id", "custom id", "all"],
)
def test_the_keys_of_drained_containers_are_waited_for(
    host: DrainedHost, containers: set[str] | None, stays: list[str]
) -> None:
    """A key is a container's by the name in its id, or by the owner record. Foreign keys do not count."""
    host.registry.put("/services/nginx/core-02:web:80", "10.0.0.2:80")
    named = [each for each in (WEB, DrainedContainer("id-redis", "", "redis")) if each.id in (containers or ())]
    host.owner.change_order(lambda order: order.with_containers(named) if named else evolve(order, all_until=inf))
    assert host.owner.keys_that_stay(containers) == ()
    assert sorted(host.registry.keys()) == sorted([*stays, "/services/nginx/core-02:web:80"])
    assert host.time.passed < 2.0


def test_keys_that_stay_are_named_after_the_time_of_a_pass(host: DrainedHost) -> None:
    """The agent's note says how long the agent may take."""
    host.agent_runs = False
    host.owner.change_order(with_web)
    before = host.time.passed
    assert host.owner.keys_that_stay({"id-web", "web"}) == (WEB_KEY,)
    assert 3.0 <= host.time.passed - before < 3.5


def test_keys_of_an_inner_prefix_are_not_waited_for(host: DrainedHost) -> None:
    """The agent leaves them to the agents of that prefix, one of which may have the same owner name."""
    host.registry.put("/services/inner/nginx/core-01:web:80", "10.0.0.1:80")
    host.registry.put(RecordKeys("/services/inner").record("core-01"), OwnerRecord(ENGINE).encode())
    host.owner.change_order(with_web)
    assert host.owner.keys_that_stay({"id-web", "web"}) == ()


def test_a_registry_that_stops_answering_ends_the_wait(host: DrainedHost) -> None:
    """It is not known whether the keys are gone."""
    host.registry.down = True
    with pytest.raises(RegistryUnavailable):
        host.owner.keys_that_stay(None)


@pytest.mark.parametrize(
    ("note", "seconds"),
    [(NOTE, 3.0), (evolve(NOTE, interval=600.0), MAX_WAIT), (None, 45.0)],
    ids=["interval and pass", "a long interval", "no note"],
)
def test_an_agent_may_take_its_interval_and_a_pass_to_obey(note: AgentNote | None, seconds: float) -> None:
    """A command does not wait longer than a minute."""
    assert seconds_to_obey(Stored(NOTE_KEY, note.encode(), 7) if note else None) == seconds
