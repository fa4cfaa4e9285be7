"""What etcd refuses or does not answer, in virtual time: ten minutes in which one key of a host is never written."""

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

#: What a server does about a request that asks for what is not to be had.
Refuse = Callable[[str], tuple[Response, float] | None]

APIS = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])

TEN_MINUTES = 600.0

#: How many containers live all the time.
LIVING = 4


def denied(api: str) -> tuple[Response, float] | None:
    """Answer as etcd does where the user's role does not permit it."""
    if api == "v3":
        return Response.of_json({"code": 7, "message": "etcdserver: permission denied", "error": "denied"}, 403), 0.0
    headers = {"X-Etcd-Index": "1"}
    document = {"errorCode": 110, "message": "The request requires user authentication", "cause": "no", "index": 1}
    return Response.of_json(document, 401, headers), 0.0


def silence(api: str) -> tuple[Response, float] | None:
    """Never answer."""
    return None


class RefusingFleet(Fleet):
    """One host. Its etcd carries out no write that is about ``refused``, a part of a key."""

    refused = "never-a-part-of-a-key"
    refuse: Refuse = staticmethod(denied)
    #: When such a write was asked for.
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
    """Return the keys that a transaction of the program writes: those at its outer level."""
    writes = (each for step in transaction["failure"] for each in step.values())
    return [base64.b64decode(each["key"]).decode() for each in writes]


@define
class Witness:
    """What was seen of a run."""

    fleet: RefusingFleet
    reports: list[tuple[float, PassReport]] = field(factory=list)
    #: The keys that were there once and then, at any second, were not.
    vanished: set[str] = field(factory=set)
    seen: set[str] = field(factory=set)
    #: For each key, after how many seconds of its container's life it was written.
    came_after: dict[str, float] = field(factory=dict)

    def look(self, started: dict[str, float]) -> None:
        """Look at the keys; ``started`` is when each container was started."""
        now = set(self.fleet.cluster.keys(self.fleet.api, PREFIX))
        self.vanished |= self.seen - now
        for key in now - self.seen:
            self.came_after[key] = self.fleet.scheduler.now - started[key.split(":")[1]]
        self.seen |= now

    @property
    def longest_gap(self) -> float:
        """The most seconds from the end of one pass to that of the next."""
        moments = [moment for moment, _ in self.reports]
        return max(later - earlier for earlier, later in pairwise(moments))


def ten_minutes(api: int, refused: str, refuse: Refuse, env: Mapping[str, str]) -> Witness:
    """Run a host with ``-ttl 15`` whose first container, with this environment, has what etcd refuses. A further
    container starts every minute."""
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
    """Return whether every other key came within two intervals and stayed."""
    keys = {f"{PREFIX}/nginx/{host.name}:{name}:80" for name in names()}
    return witness.seen == keys and not witness.vanished and max(witness.came_after.values()) <= 2.5


def names() -> list[str]:
    """Return the names of the containers whose keys etcd takes."""
    return [*(f"web-{number}" for number in range(LIVING)), *(f"late-{minute}" for minute in range(1, 9))]


@APIS
def test_a_key_that_is_denied_for_ten_minutes_costs_the_other_keys_nothing(api: int) -> None:
    """Passes keep their interval, each change that waits is tried once a minute in the end, and nothing expires."""
    witness = ten_minutes(api, ":bad:80", denied, {})
    assert all_but_the_refused_lived(witness.fleet.hosts[0], witness)
    assert witness.longest_gap < 2
    assert all(report.follows_host and report.waiting == 1 for _, report in witness.reports[1:])
    later = [moment for moment in witness.fleet.asked if moment > 120]
    assert 7 <= len(set(map(int, later))) <= 10


@APIS
def test_an_owner_record_that_is_denied_for_ten_minutes_costs_the_other_keys_nothing(api: int) -> None:
    """Only the entry under a custom id waits for it."""
    witness = ten_minutes(api, "/_wharfinger/", denied, {"SERVICE_ID": "custom"})
    assert all_but_the_refused_lived(witness.fleet.hosts[0], witness)
    assert witness.longest_gap < 2


@APIS
def test_a_key_that_gets_no_answer_lets_no_other_expire(api: int) -> None:
    """Each try costs its pass the time-outs of all members, so a new container may be seen that much later. By v3 the
    first request has several keys, which are asked for apart from each other after that."""
    witness = ten_minutes(api, ":bad:80", silence, {})
    living = {f"{PREFIX}/nginx/core-1:{name}:80" for name in names()}
    assert witness.vanished == set()
    assert witness.seen == living
    assert max(witness.came_after.values()) <= 30
    assert max(after for key, after in witness.came_after.items() if "late" in key) <= 12
    assert witness.longest_gap < 12
