"""Changes that etcd refuses or does not answer, in virtual time. For ten minutes, one key of a host cannot be
written."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import random
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from urllib.parse import unquote

import pytest
from attrs import define, evolve, field

from model.report import PassReport
from tests.simulation.fleet import PREFIX, Actor, Fleet, Host
from tests.simulation.messages import Request, Response
from tests.simulation.scheduler import Scheduler

#: How a server answers a request that it does not carry out, given the version of the API. None if it never answers.
Refuse = Callable[[str], tuple[Response, float] | None]

APIS = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])

TEN_MINUTES = 600.0

#: The number of containers that run from the start to the end and whose keys etcd takes.
LIVING = 4


def denied(api: str) -> tuple[Response, float] | None:
    """Return the answer that etcd gives to a user whose role does not permit a request."""
    if api == "v3":
        return Response.of_json({"code": 7, "message": "etcdserver: permission denied", "error": "denied"}, 403), 0.0
    headers = {"X-Etcd-Index": "1"}
    document = {"errorCode": 110, "message": "The request requires user authentication", "cause": "no", "index": 1}
    return Response.of_json(document, 401, headers), 0.0


def silence(api: str) -> tuple[Response, float] | None:
    """Return None, which means that the server never answers."""
    return None


class RefusingFleet(Fleet):
    """A fleet whose etcd carries out no write to a key that contains ``refused``."""

    refused = "never-a-part-of-a-key"
    refuse: Refuse = staticmethod(denied)
    #: When an agent asked for such a write, each time.
    asked: list[float]

    def _serve(self, member: str, request: Request, sender: Actor) -> tuple[Response, float] | None:
        if self._is_refused(request):
            self.asked.append(self.scheduler.now)
            return self.refuse(self.api)
        return super()._serve(member, request, sender)

    def _is_refused(self, request: Request) -> bool:
        if self.api == "v2":
            return request.method != "GET" and self.refused in unquote(request.path)
        puts = request.path.endswith("kv/txn")
        return puts and any(self.refused in key for key in _keys_in(request.json()))


def _keys_in(transaction: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    """Return the keys that a transaction of the program writes. They are at its outer level."""
    writes = (each for step in transaction["failure"] for each in step.values())
    return [base64.b64decode(each["key"]).decode() for each in writes]


@define
class Witness:
    """What was observed in a run."""

    fleet: RefusingFleet
    reports: list[tuple[float, PassReport]] = field(factory=list)
    #: The keys that were in etcd at one look and missing at a later one.
    vanished: set[str] = field(factory=set)
    seen: set[str] = field(factory=set)
    #: How many seconds after the start of its container each key was written.
    came_after: dict[str, float] = field(factory=dict)

    def look(self, started: dict[str, float]) -> None:
        """Note which keys etcd has now. ``started`` tells when each container was started."""
        now = set(self.fleet.cluster.keys(self.fleet.api, PREFIX))
        self.vanished |= self.seen - now
        for key in now - self.seen:
            self.came_after[key] = self.fleet.scheduler.now - started[key.split(":")[1]]
        self.seen |= now

    @property
    def longest_gap(self) -> float:
        """The longest time between the ends of two consecutive passes, in seconds."""
        moments = [moment for moment, _ in self.reports]
        return max(later - earlier for earlier, later in pairwise(moments))


def ten_minutes(api: int, refused: str, refuse: Refuse, env: Mapping[str, str]) -> Witness:
    """Run a host with ``-ttl 15`` for ten minutes. Its first container has the environment ``env``, and etcd refuses
    writes to keys that contain ``refused``. Each of the first eight minutes, a further container starts."""
    logging.disable(logging.CRITICAL)
    scheduler = Scheduler(random.Random(1))
    fleet = RefusingFleet(scheduler, random.Random(2), api, 1)
    fleet.refused, fleet.refuse, fleet.asked = refused, refuse, []
    (host,) = fleet.hosts
    host.flags = evolve(host.flags, ttl=15, refresh=10, health="any")
    witness, started = Witness(fleet), dict[str, float]()

    def start(name: str, env: Mapping[str, str]) -> None:
        started[name] = scheduler.now
        host.engine.run(name, "nginx:1", env=env, ports={"80/tcp": 8000 + len(started)})

    start("bad", env)
    for number in range(LIVING):
        start(f"web-{number}", {})
    for minute in range(1, 9):
        scheduler.call_at(60.0 * minute, partial(start, f"late-{minute}", {}))
    fleet.on_pass_ended = lambda of, report: witness.reports.append((scheduler.now, report))

    def tick() -> None:
        witness.look(started)
        scheduler.call_at(scheduler.now + 0.5, tick)

    scheduler.call_at(0.5, tick)
    fleet.start_agent(host)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            scheduler.run_until(TEN_MINUTES)
    finally:
        scheduler.close()
    return witness


def all_but_the_refused_lived(host: Host, witness: Witness) -> bool:
    """Return whether the key of every other container was written within 2.5 seconds, which is two intervals, and
    stayed."""
    keys = {f"{PREFIX}/nginx/{host.name}:{name}:80" for name in names()}
    return witness.seen == keys and not witness.vanished and max(witness.came_after.values()) <= 2.5


def names() -> list[str]:
    """Return the names of the containers whose keys etcd takes."""
    return [*(f"web-{number}" for number in range(LIVING)), *(f"late-{minute}" for minute in range(1, 9))]


@APIS
def test_a_key_that_is_denied_for_ten_minutes_costs_the_other_keys_nothing(api: int) -> None:
    """While etcd denies one key, passes keep their interval and no other key expires. In the end the denied change is
    tried once a minute."""
    witness = ten_minutes(api, ":bad:80", denied, {})
    assert all_but_the_refused_lived(witness.fleet.hosts[0], witness)
    assert witness.longest_gap < 2
    assert all(report.follows_host and report.waiting == 1 for _, report in witness.reports[1:])
    later = [moment for moment in witness.fleet.asked if moment > 120]
    assert 7 <= len(set(map(int, later))) <= 10


@APIS
def test_an_owner_record_that_is_denied_for_ten_minutes_costs_the_other_keys_nothing(api: int) -> None:
    """While etcd denies the owner record, only the entry under a custom id waits for the record."""
    witness = ten_minutes(api, "/_wharfinger/", denied, {"SERVICE_ID": "custom"})
    assert all_but_the_refused_lived(witness.fleet.hosts[0], witness)
    assert witness.longest_gap < 2


@APIS
def test_a_key_that_gets_no_answer_lets_no_other_expire(api: int) -> None:
    """While writes of one key get no answer, no other key expires. Each try costs its pass the time-outs of all
    members, so a new container may be registered that much later. With v3, the first request has several keys, which
    are written in separate requests after it got no answer."""
    witness = ten_minutes(api, ":bad:80", silence, {})
    living = {f"{PREFIX}/nginx/core-1:{name}:80" for name in names()}
    assert witness.vanished == set()
    assert witness.seen == living
    assert max(witness.came_after.values()) <= 30
    assert max(after for key, after in witness.came_after.items() if "late" in key) <= 12
    assert witness.longest_gap < 12
