"""Signs of life of an agent, in virtual time. `deregister` and `--take-over` take nothing from a host whose agent is
alive."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from attrs import field, frozen

from controller.commands.exit_codes import ExitCode
from controller.config.settings import Settings, parse_settings
from tests.simulation.fleet import MEMBERS, PREFIX, UNSET, Flags, Fleet, Host
from tests.simulation.scheduler import Scheduler

APIS = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])

#: The owner name of the first host, and the engine ids of both hosts. BESIDE is the path of the keys that this owner
#: has outside the prefix.
OWNER = "core-1"
FIRST_ENGINE, SECOND_ENGINE = "ENGINE:1", "ENGINE:2"
BESIDE = f"/_wharfinger/{PREFIX.replace('/', '%2F')}/{OWNER}"


@frozen
class MoreFlags(Flags):
    """The flags of an agent that is started with more flags than Flags has."""

    more: Mapping[str, str] = field(factory=dict)

    def settings(self, address: str, uri: str) -> Settings:
        """See Flags."""
        given = {"ip": address, "interval": str(self.interval), "listen": "", **self.more}
        return parse_settings({**UNSET, **given}, (uri,))


class World:
    """Hosts that run three containers each, one of them under a custom id."""

    def __init__(self, api: int, seed: int = 1, hosts: int = 2) -> None:
        self.chance = random.Random(seed)
        self.scheduler = Scheduler(random.Random(seed + 1))
        self.fleet = Fleet(self.scheduler, self.chance, api, hosts)
        self.hosts = self.fleet.hosts
        for host in self.hosts:
            host.flags = MoreFlags(interval=1.0)
            for name in ("web", "api"):
                host.engine.run(name, "registry.example/web:1", ports={"80/tcp": None})
            env = {"SERVICE_ID": f"id-{host.name}"}
            host.engine.run("db", "registry.example/web:1", ports={"80/tcp": None}, env=env)

    def set_flags(self, host: Host, interval: float = 1.0, more: Mapping[str, str] | None = None) -> None:
        """Give the host's next agent this interval and these further flags."""
        host.flags = MoreFlags(interval=interval, more=more or {})

    def start(self, *hosts: Host) -> None:
        """Start the agents of these hosts, and give them time for their first pass."""
        for host in hosts:
            self.fleet.start_agent(host)
        self.after(5)

    def after(self, seconds: float) -> None:
        """Let this much time go by."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.scheduler.run_until(self.scheduler.now + seconds)

    def keys(self, prefix: str = f"{PREFIX}/") -> dict[str, str]:
        """Return the keys that begin with ``prefix``, with their values."""
        return self.fleet.cluster.keys(self.fleet.api, prefix)

    @property
    def holder(self) -> str:
        """The engine id in the owner record of core-1."""
        return str(json.loads(self.keys(BESIDE)[f"{BESIDE}/record"])["engine"])

    def deregistered(self, seconds: float) -> list[int | None]:
        """Run ``deregister`` for core-1 on the second host, and let this much time go by. Return a list with its exit
        code, or an empty one if it has not ended by then."""
        codes: list[int | None] = []
        self.fleet.deregister(self.hosts[1], OWNER, codes.append, wait=None)
        self.after(seconds)
        return codes


@pytest.fixture
def new_world() -> Iterator[Any]:
    """Yield a function that makes worlds. They are closed when the test ends."""
    logging.disable(logging.CRITICAL)
    worlds: list[World] = []

    def make(*args: Any, **kwargs: Any) -> World:
        worlds.append(World(*args, **kwargs))
        return worlds[-1]

    yield make
    for world in worlds:
        world.scheduler.close()
    logging.disable(logging.NOTSET)


# deregister


@APIS
@pytest.mark.parametrize(("interval", "seconds"), [(11.0, 15.0), (60.0, 65.0), (3600.0, 1.0)])
def test_a_host_keeps_its_keys_however_rarely_its_agent_looks(
    new_world: Any, api: int, interval: float, seconds: float
) -> None:
    """`deregister` begins at random moments between two passes of a slow agent, waits for its sign of life, and removes
    nothing. If the agent makes a pass only once an hour, `deregister` fails at once and does not wait."""
    world = new_world(api)
    world.set_flags(world.hosts[0], interval)
    world.start(world.hosts[0])
    right = world.keys()
    assert len(right) == 3
    for _ in range(3):
        world.after(world.chance.random() * interval)
        assert world.deregistered(seconds) == [ExitCode.FAILED]
    assert world.keys() == right


@APIS
@pytest.mark.parametrize("since", [0.5, 10.0, 61.0, 100.0])
def test_a_host_keeps_its_keys_while_its_engine_hangs(new_world: Any, api: int, since: float) -> None:
    """An agent whose engine hangs backs off for up to 30 seconds between two passes. It still answers the liveness
    query within the wait of `deregister`."""
    world = new_world(api)
    world.start(*world.hosts)
    right = world.keys()
    world.hosts[0].engine.freeze()
    world.after(since)
    assert world.deregistered(42) == [ExitCode.FAILED]
    assert world.keys() == right


@APIS
@pytest.mark.parametrize("frozen", [6.0, 20.0, 35.0])
def test_a_host_keeps_its_keys_while_its_agent_stands_still_for_less_than_the_wait(
    new_world: Any, api: int, frozen: float
) -> None:
    """An agent that stands still answers the liveness query when it runs again. That is early enough for
    `deregister`."""
    world = new_world(api)
    world.start(*world.hosts)
    right = world.keys()
    world.hosts[0].process.frozen_until = world.scheduler.now + frozen
    assert world.deregistered(45) == [ExitCode.FAILED]
    assert world.keys() == right


@APIS
def test_a_host_whose_agent_is_dead_is_emptied_after_the_wait_and_not_before(new_world: Any, api: int) -> None:
    """`deregister` removes the entries of a host with a dead agent after its wait, and also the owner record and the
    agent note. A second `deregister` fails, because nobody has the name any more."""
    world = new_world(api)
    world.start(*world.hosts)
    world.fleet.stop_agent(world.hosts[0])
    right = world.keys()
    codes: list[int | None] = []
    world.fleet.deregister(world.hosts[1], OWNER, codes.append, wait=None)
    world.after(40)
    assert (codes, world.keys()) == ([], right)
    world.after(3)
    assert codes == [ExitCode.IN_SYNC]
    assert world.keys() == {key: value for key, value in right.items() if "core-2" in key}
    assert world.keys(f"{BESIDE}/") == {}
    assert world.deregistered(1) == [ExitCode.FAILED]


# --take-over


def contenders(world: World, flags: Mapping[str, str] | None = None) -> tuple[Host, Host]:
    """Return two hosts with one owner name, whose agents both have --take-over. The agent of the first one has been
    started and has the name."""
    first, second = world.hosts
    second.engine.name = OWNER
    for host in (first, second):
        world.set_flags(host, more={"take-over": "true", **(flags or {})})
    world.start(first)
    return first, second


@APIS
@pytest.mark.parametrize("flags", [{}, {"ttl": "30", "ttl-refresh": "10"}], ids=["forever", "ttl"])
def test_the_name_of_a_dead_host_is_taken_after_the_wait_and_not_before(
    new_world: Any, api: int, flags: dict[str, str]
) -> None:
    """The second host takes over the name of a dead host after the wait. With -ttl the dead host's keys expire
    meanwhile, because nobody keeps its lease alive."""
    world = new_world(api)
    first, second = contenders(world, flags)
    world.fleet.stop_agent(first)
    right = world.keys()
    world.fleet.start_agent(second)
    world.after(40)
    assert world.holder == FIRST_ENGINE
    assert world.keys() == ({} if flags else right)
    world.after(6)
    assert world.holder == SECOND_ENGINE
    assert [value.partition(":")[0] for value in world.keys().values()] == [second.address] * 3
    assert f"{BESIDE}/question" not in world.keys(BESIDE)


@APIS
@pytest.mark.parametrize("seed", range(4))
def test_a_living_host_keeps_its_name_whatever_fails(new_world: Any, api: int, seed: int) -> None:
    """Two hosts want one name, and both agents are started again and again with --take-over, while engines hang and
    etcd loses its quorum. The first host keeps the name, because its agent is never away for as long as the second one
    waits."""
    world = new_world(api, seed)
    first, second = contenders(world)
    right = world.keys()
    world.start(second)
    for _ in range(30):
        trouble(world, first, second)
        world.after(5 + 30 * world.chance.random())
        assert world.holder == FIRST_ENGINE
    world.after(120)
    assert (world.holder, world.keys()) == (FIRST_ENGINE, right)


def trouble(world: World, first: Host, second: Host) -> None:
    """Cause one trouble, which ends by itself after a while."""
    now, chance = world.scheduler.now, world.chance
    kind = chance.choice(["first", "second", "engine of first", "engine of second", "quorum", "frozen"])
    if kind in {"first", "second"}:
        host = first if kind == "first" else second
        world.fleet.stop_agent(host)
        world.scheduler.call_at(now + 4 * chance.random(), lambda: world.fleet.start_agent(host))
    elif kind == "quorum":
        for member in MEMBERS[:2]:
            world.fleet.cluster.stop(member)
            world.scheduler.call_at(now + 5 + 25 * chance.random(), partial(world.fleet.cluster.start, member))
    elif kind == "frozen":
        for host in (first, second):
            if host.process:
                host.process.frozen_until = now + 10 * chance.random()
    else:
        engine = (first if kind.endswith("first") else second).engine
        engine.freeze()
        world.scheduler.call_at(now + 5 + 20 * chance.random(), engine.thaw)
