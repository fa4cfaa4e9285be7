"""The delete guard in virtual time: engines whose list is wrong, and hosts whose containers end many at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

import pytest

from tests.simulation.etcd_change import Change, ChangeKind
from tests.simulation.fleet import PREFIX, Flags, Fleet, Host
from tests.simulation.scheduler import Scheduler

APIS = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])

#: The virtual second at which a test begins. The agent has registered all containers long before.
BEGIN = 5.0


class Scene:
    """One host whose agent makes a pass five times a second, and the changes of its keys."""

    def __init__(self, api: int, containers: int, seed: int, ttl: int = 0, refresh: int = 0) -> None:
        self.scheduler = Scheduler(random.Random(seed))
        self.fleet = Fleet(self.scheduler, random.Random(seed), api, 1)
        self.host: Host = self.fleet.hosts[0]
        self.host.flags = Flags(interval=0.2, ttl=ttl, refresh=refresh)
        self.names = [f"c{number}" for number in range(containers)]
        for name in self.names:
            self.host.engine.run(name, "registry.example/web:1", ports={"80/tcp": None})
        #: When each key was changed, with the kind of the change and the key. Renewals are left out.
        self.changes: list[tuple[float, ChangeKind, str]] = []
        self.fleet.cluster.on_change.append(self._note)
        self.fleet.start_agent(self.host)
        self.scheduler.run_until(BEGIN)
        assert set(self.keys) == set(map(self.key, self.names))
        self.changes.clear()

    def _note(self, change: Change) -> None:
        if change.key.startswith(f"{PREFIX}/") and change.kind is not ChangeKind.RENEW:
            self.changes.append((self.scheduler.now, change.kind, change.key))

    @property
    def keys(self) -> dict[str, str]:
        """What etcd holds under the prefix."""
        return dict(self.fleet.cluster.keys(self.fleet.api, PREFIX))

    def key(self, name: str) -> str:
        """Return the key of the container with this name."""
        return f"{PREFIX}/web/{self.host.engine.name}:{name}:80"

    def deleted_after(self) -> dict[str, float]:
        """Return after how many seconds from BEGIN each deleted key was deleted."""
        return {key: moment - BEGIN for moment, kind, key in self.changes if kind is ChangeKind.DELETE}


@pytest.fixture
def scenes() -> Iterator[list[Scene]]:
    """Yield an empty list. The test adds its scenes to it, and they are closed when the test ends."""
    played: list[Scene] = []
    yield played
    for each in played:
        each.scheduler.close()


@APIS
@pytest.mark.parametrize("containers", [1, 3, 8])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.9])
def test_a_list_that_is_empty_for_a_moment_writes_nothing(
    api: int, containers: int, seconds: float, scenes: list[Scene]
) -> None:
    """Nothing is written while the engine's list is empty for less than two seconds and every container runs, although
    up to nine passes read the empty list."""
    scenes.append(scene := Scene(api, containers, seed=601))
    scene.host.engine.empty_list(seconds)
    scene.scheduler.run_until(BEGIN + 20.0)
    assert scene.changes == []


@APIS
def test_keys_with_a_lifetime_do_not_expire_while_their_deletes_wait(api: int, scenes: list[Scene]) -> None:
    """While the guard holds their deletes back, keys are renewed although the list lacks their containers."""
    scenes.append(scene := Scene(api, 3, seed=602, ttl=2, refresh=1))
    for _ in range(10):
        scene.host.engine.empty_list(1.9)
        scene.scheduler.run_until(scene.scheduler.now + 3.0)
    assert scene.changes == []


@APIS
def test_while_the_list_is_empty_a_key_goes_when_its_container_ends_and_not_before(
    api: int, scenes: list[Scene]
) -> None:
    """An engine that is stopped without live-restore lists nothing while its containers end one by one. Each key is
    deleted when its own container has ended, and not before."""
    scenes.append(scene := Scene(api, 6, seed=603))
    engine, ends = scene.host.engine, {}
    engine.empty_list(1.5)
    for number, name in enumerate(scene.names[:5]):
        ends[scene.key(name)] = moment = 0.1 + 0.25 * number
        scene.scheduler.call_at(BEGIN + moment, partial(engine.die, name))
    scene.scheduler.run_until(BEGIN + 20.0)
    deleted = scene.deleted_after()
    assert deleted.keys() == ends.keys()
    assert [key for key, moment in deleted.items() if not ends[key] <= moment <= ends[key] + 0.5] == []
    assert scene.keys.keys() == {scene.key(scene.names[5])}


@APIS
def test_a_list_that_stays_empty_is_believed_after_two_seconds(api: int, scenes: list[Scene]) -> None:
    """The keys are deleted two seconds after the list became empty, and little later. They are not deleted earlier,
    although ten passes have read the empty list by then."""
    scenes.append(scene := Scene(api, 3, seed=604))
    scene.host.engine.empty_list(60.0)
    scene.scheduler.run_until(BEGIN + 20.0)
    assert len(scene.deleted_after()) == 3
    assert [moment for moment in scene.deleted_after().values() if not 2.0 <= moment <= 2.6] == []


@APIS
def test_an_engine_that_fails_in_between_makes_the_guard_count_anew(api: int, scenes: list[Scene]) -> None:
    """An engine is restarted with live-restore, and lists nothing for a moment before it stops and for a moment after
    it starts. The guard counts the second moment anew, so no key is deleted."""
    scenes.append(scene := Scene(api, 8, seed=605))
    engine = scene.host.engine
    engine.empty_list(1.0)
    scene.scheduler.call_at(BEGIN + 1.0, partial(engine.stop_engine, live_restore=True))
    scene.scheduler.call_at(BEGIN + 4.0, engine.start_engine)
    scene.scheduler.call_at(BEGIN + 4.0, partial(engine.empty_list, 1.9))
    scene.scheduler.run_until(BEGIN + 30.0)
    assert scene.changes == []


@APIS
@pytest.mark.parametrize("removed", [False, True], ids=["killed", "killed-and-removed"])
def test_a_burst_of_sixty_deaths_is_deregistered_quickly(api: int, removed: bool, scenes: list[Scene]) -> None:
    """Sixteen containers at a time are killed, and the list shows each as running for 1.6 s after its death. The keys
    of containers that still exist are deleted as soon as the engine says that they are stopped. The keys of containers
    that were removed have to wait for the guard's two seconds."""
    scenes.append(scene := Scene(api, 60, seed=606))
    engine = scene.host.engine
    engine.list_lag(1.6)
    for number, name in enumerate(scene.names):
        moment = BEGIN + 0.3 * (number // 16)
        scene.scheduler.call_at(moment, partial(engine.kill, name))
        if removed:
            scene.scheduler.call_at(moment + 0.1, partial(engine.remove, name))
    scene.scheduler.run_until(BEGIN + 20.0)
    last = max(scene.deleted_after().values())
    assert (scene.keys, last < 0.9 + (2.7 if removed else 2.2)) == ({}, True), last
