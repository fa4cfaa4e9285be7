"""A large prefix whose pages etcd does not answer in time, in virtual time. A sweep reads it page by page, and goes on
from pass to pass."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from attrs import define

from controller.registry.etcd_v3 import prefix_requests
from model.report import PassReport
from model.sweep import MOST_REST
from tests.simulation.bounds import Bounds
from tests.simulation.fleet import PREFIX
from tests.simulation.messages import Request
from tests.simulation.network import Fate, Weather
from tests.simulation.quiet_host import QuietHost, quiet_host
from tests.simulation.run import NEIGHBOURS

#: Of a key that the host has, and of two that nothing leads to, on the first page and on the last one.
KEY, FIRST, LAST = (f"{PREFIX}/{key}:80" for key in ("web/core-1:web", "a/core-1:ghost", "z/core-1:ghost"))

#: More than an interval, and the time of a page that is not answered.
IN_TIME = 4.0


@define
class PagesLost(Weather):
    """Weather in which pages of a prefix are lost, and every other request is answered."""

    #: How likely a page is lost.
    likely: float = 1.0

    def fate(self, request: Request, chance: random.Random) -> Fate:
        """See Weather."""
        is_page = request.path == "/v3/kv/range" and "limit" in request.json()
        return Fate.LOST if is_page and chance.random() < self.likely else Fate.ANSWERED


@pytest.fixture(params=[True, False], ids=["hints", "no-hints"])
def host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[QuietHost]:
    """A host among many others, whose agent is at rest, under a prefix of several pages."""
    monkeypatch.setattr(prefix_requests, "PAGE", 3)
    with quiet_host(3, request.param, NEIGHBOURS) as host:
        yield host


def set_weather(host: QuietHost, weather: Weather) -> None:
    """Let this be the weather between the host and etcd."""
    for link in host.host.links.values():
        link.weather = weather


def longest_until_sweep(host: QuietHost) -> float:
    """Return the seconds within which a sweep begins and ends, if its pages are answered."""
    return Bounds.of(host.host.flags.times).sweep * (NEIGHBOURS + 1) / 20 + MOST_REST + IN_TIME


def test_while_no_page_is_answered_every_key_that_is_wanted_gets_right(host: QuietHost) -> None:
    """No pass fails because of a sweep. Once pages are answered, orphans are found within the time between sweeps."""
    reports: list[PassReport] = []
    host.fleet.on_pass_ended = lambda _, report: reports.append(report)
    set_weather(host, PagesLost())
    for key in (FIRST, LAST):
        host.fleet.cluster.put("v3", key, "192.0.2.1:1")
    orphans = host.keys.keys() - host.right.keys()
    for number in range(12):
        host.run(f"new-{number}")
        host.after(IN_TIME)
        assert host.keys.keys() - orphans == host.right.keys()
        host.engine.remove(f"new-{number}", force=True)
        host.fleet.cluster.put("v3", KEY, "192.0.2.1:1")
        host.after(IN_TIME + 2)
        assert {key: value for key, value in host.keys.items() if key not in orphans} == host.right
    assert [each.problem for each in reports if not each.succeeded] == []
    assert orphans <= host.keys.keys()
    set_weather(host, Weather())
    assert host.until_right(1000) < longest_until_sweep(host)


def test_a_sweep_of_which_many_pages_are_lost_comes_to_its_end(host: QuietHost) -> None:
    """It goes on where it was."""
    set_weather(host, PagesLost(likely=0.5))
    for number in range(20):
        host.fleet.cluster.put("v3", f"{PREFIX}/m{number}/other:x:80", "192.0.2.1:1")
    for key in (FIRST, LAST):
        host.fleet.cluster.put("v3", key, "192.0.2.1:1")
    host.after(longest_until_sweep(host) + 20 * MOST_REST)
    assert not {FIRST, LAST} & host.keys.keys()
