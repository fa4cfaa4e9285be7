"""Tests of the loop over a real etcd that does not fully work: one key gets no answer, all requests are slow, or etcd
is full."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
from attrs import evolve

from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.observe.pass_log import PassLog
from controller.reconcile.loop import Loop, Pace
from controller.reconcile.one_pass import PassSettings, reconcile
from controller.registry.base import Registry
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v2.registry import etcd_v2_registry
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.registry import etcd_v3_registry
from model.container import Container
from model.memory import Memory
from model.report import PassReport, PassResult
from model.stored import FOREVER, Lifetime
from tests.contract.clients import PREFIX
from tests.support.captured_logs import capture_logs
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3
from tests.support.fakes import FakeSource, RecordingObserver
from tests.support.pass_harness import pass_settings, serving
from tests.support.waiting import wait_until
from tests.support.wiretap import Moment, Wiretap

INTERVAL = 0.5


class RunningLoop:
    """A loop over a registry, in a thread of its own."""

    def __init__(self, registry: Registry, source: FakeSource, settings: PassSettings) -> None:
        self.observer = RecordingObserver()
        pace = Pace(INTERVAL, Clock(), lambda: 0.0, Threads().waker())

        def run_pass(memory: Memory, hurried: bool) -> PassReport:
            return reconcile(settings, source, registry, memory, hurried=hurried)

        self._loop = Loop(run_pass, pace, (self.observer, PassLog()))
        self._thread = threading.Thread(target=self._loop.run, daemon=True)

    @property
    def reports(self) -> list[PassReport]:
        """The reports of the passes that have ended."""
        return list(self.observer.reports)

    def __enter__(self) -> RunningLoop:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.stop()
        self._thread.join(20)


def containers(number: int) -> list[Container]:
    """Return this many containers, each with one key."""
    return [serving(f"web-{each:03}", number=8000 + each) for each in range(number)]


def registry_at(api: int, endpoint: str, lifetime: Lifetime = FOREVER) -> Registry:
    """Return a registry at an endpoint."""
    host, _, port = endpoint.rpartition(":")
    endpoints = [(host, int(port))]
    if api == 3:
        return etcd_v3_registry(EtcdV3Client(endpoints), PREFIX, lifetime)
    return etcd_v2_registry(EtcdV2Client(endpoints), PREFIX, lifetime)


def stored(api: int, server: EtcdServer) -> dict[str, str]:
    """Return the keys under the prefix."""
    return EtcdV3(server.endpoint).keys(PREFIX) if api == 3 else server.keys(PREFIX)


def has_keys(server: EtcdServer, number: int) -> bool:
    """Return whether this many keys are in the v2 store."""
    return len(stored(2, server)) == number


@pytest.mark.parametrize(("api", "number"), [(2, 150), (3, 600)], ids=["v2", "v3"])
def test_passes_that_make_progress_follow_each_other_at_once(api: int, number: int, good: EtcdServer) -> None:
    """So hundreds of keys take no longer than a slow etcd needs for them. The log has one line for each pass that ran
    out of time, however many changes that pass left."""

    def slowly(moment: Moment) -> bool:
        if not moment.answered and (moment.is_write if api == 2 else moment.is_write_by_v3):
            time.sleep(0.02 if api == 2 else 0.5)  # etcd is slow to write
        return True

    settings = evolve(pass_settings(clock=Clock()), seconds=1.2)
    with capture_logs() as lines, Wiretap(good.endpoint, slowly) as tap:
        loop = RunningLoop(registry_at(api, tap.endpoint), FakeSource(*containers(number)), settings)
        with loop:
            wait_until(lambda: loop.reports[-1:] and loop.reports[-1].succeeded, 60, "the pass that ends")
    results = [report.result for report in loop.reports]
    unfinished = [PassResult.UNFINISHED] * (len(results) - 1)
    assert results == [*unfinished, PassResult.SUCCESS]
    assert len(unfinished) >= 2
    assert loop.observer.waits[: len(unfinished)] == [0.0] * len(unfinished)
    assert len(stored(api, good)) == number
    made = {"change applied", "change failed", "further changes failed"}
    told = [line["event"] for line in lines if line["event"] not in made and line["log_level"] != "debug"]
    assert [line["event"] for line in lines].count("change failed") <= 10 * len(unfinished)
    assert told == ["pass ran out of time, the next one goes on at once"] * len(unfinished) + ["first pass succeeded"]


@pytest.mark.v2
@pytest.mark.parametrize("lifetime", [FOREVER, Lifetime(3, 2, 2.0)], ids=["for ever", "ttl"])
def test_a_key_that_gets_no_answer_holds_up_no_other(lifetime: Lifetime, good: EtcdServer) -> None:
    """The other keys are written at the normal interval, and those with a lifetime do not expire. The test uses v2,
    where a request has one key. A v3 request has several keys, and etcd answers for all of them or for none."""

    def meddle(moment: Moment) -> bool:
        return not (moment.is_write and "web-001" in moment.path)

    settings = evolve(pass_settings(clock=Clock()), lifetime=lifetime)
    source = FakeSource(*containers(3))
    with capture_logs() as lines, Wiretap(good.endpoint, meddle) as tap:
        loop = RunningLoop(registry_at(2, tap.endpoint, lifetime), source, settings)
        with loop:
            for number in range(4, 18):
                source.containers = containers(number)
                wait_until(partial(has_keys, good, number - 1), 3, f"key number {number}")
    assert {report.result for report in loop.reports} == {PassResult.OPERATION_ERROR}
    assert {report.problem.split()[2] for report in loop.reports} == {f"{PREFIX}/nginx/core-01:web-001:80:"}
    assert [line["event"] for line in lines].count("change failed") == 1
    assert [line["event"] for line in lines].count("pass failed") == 1


@pytest.mark.every_etcd
def test_an_etcd_that_is_full_takes_everything_soon_after_it_has_room(good: EtcdServer) -> None:
    """Through v3, a full etcd refuses every write of a value. Each refused change waits by itself until it is tried
    again, and none waits for ever."""
    store = EtcdV3(good.endpoint)
    store.call("maintenance/alarm", {"action": "ACTIVATE", "alarm": "NOSPACE"})
    source = FakeSource(*containers(3))
    loop = RunningLoop(registry_at(3, good.endpoint), source, pass_settings(clock=Clock()))
    with loop:
        wait_until(lambda: len(loop.reports) > 3, 10, "some passes")
        assert {report.result for report in loop.reports} == {PassResult.OPERATION_ERROR}
        assert "database space exceeded" in loop.reports[-1].problem
        store.call("maintenance/alarm", {"action": "DEACTIVATE", "alarm": "NOSPACE"})
        wait_until(lambda: len(store.keys(PREFIX)) == 3, 10, "the keys")
    assert set(loop.observer.waits) == {INTERVAL}
