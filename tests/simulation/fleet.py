"""The hosts of the simulated fleet: an engine, an agent that comes and goes, and the links between them and etcd."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from attrs import define, frozen

from controller.commands.build import Effects, build_agent
from controller.commands.deregister import DeregisterOptions, deregister
from controller.config.default_endpoints import ENDPOINTS_VARIABLE
from controller.config.flags import CONNECTION_FLAGS, FLAGS, SWITCHES
from controller.config.settings import Settings, parse_owner_settings, parse_settings
from controller.effects.network import Network
from controller.reconcile.loop import Observer
from controller.registry.factory import Transports
from controller.source.engine_connection import EngineSettings
from model.host_port import HostPort
from model.report import PassReport
from tests.simulation.asked import asked_of_engine, asked_of_etcd
from tests.simulation.bounds import AgentTimes
from tests.simulation.engine import SimulatedEngine, connect_simulated
from tests.simulation.etcd_change import Change
from tests.simulation.etcd_cluster import EtcdCluster
from tests.simulation.messages import Request, Response
from tests.simulation.network import Link
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.transports import Refused, SimulatedHttpClient, SimulatedPool, Timeouts

PREFIX = "/services"

#: The records of all owners, outside the prefix.
RECORDS = "/_wharfinger/%2Fservices/"

#: The members of the etcd cluster, and the endpoints under which agents know them.
MEMBERS = ("etcd-1", "etcd-2", "etcd-3")
ENDPOINTS = {HostPort(name, 2379): name for name in MEMBERS}

#: Seconds by which sums of times may differ.
ROUNDING = 1e-6

#: How likely an agent follows its engine's events, where chance decides.
HINTED = 0.75

#: Seconds for which the engine's list still shows a container after its end, as was measured on an idle engine.
LIST_LAG = 0.12

#: Every flag as nobody gives it.
UNSET = {
    **{each.name: each.default for each in (*FLAGS, *CONNECTION_FLAGS)},
    **{each.name: "" for each in SWITCHES},
    "etcd-password": "",
    ENDPOINTS_VARIABLE: "",
}


@frozen
class Flags:
    """The flags of an agent that the simulation varies. Times are in seconds."""

    interval: float = 1.0
    #: 0: keys do not expire.
    ttl: int = 0
    refresh: int = 0
    health: str = "any"
    hints: bool = True
    #: The value of -deregister.
    deregister: str = "always"
    #: Whether a container drains while it is stopped.
    drain_on_stop: bool = True
    stop_grace: int = 120
    #: Between two sweeps of a registry with few hosts.
    resync: int = 60

    @property
    def drains(self) -> bool:
        """Whether the signal that stops a container makes it drain."""
        return self.hints and self.drain_on_stop and self.deregister == "always"

    @property
    def times(self) -> AgentTimes:
        """The flags that the promises about time depend on."""
        interval = min(self.interval, self.refresh) if self.ttl else self.interval
        return AgentTimes(interval, 10.0, float(self.ttl), float(self.resync))

    def settings(self, address: str, uri: str) -> Settings:
        """Return the settings of the program with these flags."""
        given = {
            "ip": address,
            "interval": str(self.interval),
            "ttl": str(self.ttl),
            "ttl-refresh": str(self.refresh),
            "health": self.health,
            "resync": str(self.resync),
            "no-hints": "" if self.hints else "true",
            "deregister": self.deregister,
            "no-drain-on-stop": "" if self.drain_on_stop else "true",
            "stop-grace": str(self.stop_grace),
            "listen": "",
        }
        return parse_settings({**UNSET, **given}, (uri,))


@frozen
class Actor:
    """Who sent a request to etcd."""

    host: str
    #: The owner name that the agent goes by.
    owner: str
    #: Counts the agents of the host.
    agent: int
    #: Counts the passes of the agent.
    number: int


class PassWatch:
    """Observes the loop of one agent for the oracle."""

    def __init__(
        self, now: Callable[[], float], on_begun: Callable[[bool], None], on_ended: Callable[[PassReport], None]
    ) -> None:
        """``now`` returns the virtual time. ``on_begun`` is told whether the pass is a hurried one."""
        self._now = now
        self._on_begun = on_begun
        self._on_ended = on_ended
        #: When the next ordinary pass is due.
        self._due_at = -inf

    def begun(self, now: float) -> None:
        """See Observer. A pass that begins before an ordinary one is due is a hurried one."""
        self._on_begun(self._now() < self._due_at - ROUNDING)

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """See Observer."""
        self._due_at = self._now() + wait
        self._on_ended(report)


@define
class Host:
    """One Docker host with its agent."""

    name: str
    address: str
    engine: SimulatedEngine
    #: The link to the engine's socket, and those to the members of etcd.
    socket: Link
    links: dict[str, Link]
    flags: Flags
    process: Process | None = None
    agents: int = 0
    passes: int = 0
    #: Whether a hint made the present pass, or the last one.
    hurried: bool = False
    #: The agent is killed when etcd has carried out this many more of its writes, before it gets the answer to the last
    #: of them; None: never.
    writes_to_live: int | None = None
    #: Whether an agent was told to run: one that was killed on purpose and not started again is not.
    wanted: bool = True

    @property
    def alive(self) -> bool:
        """Whether the agent runs and is not frozen."""
        return self.process is not None and self.process.running


class Fleet:
    """Hosts, engines and one etcd cluster."""

    def __init__(
        self,
        scheduler: Scheduler,
        chance: random.Random,
        api: int,
        hosts: int,
        hints: bool | None = None,
        neighbours: int = 0,
    ) -> None:
        """``hints`` says whether the agents follow their engines' events; None: chance decides for each.
        ``neighbours`` is how many more hosts have owner records. Nothing else of them is simulated."""
        self.hints = hints
        self.neighbours = neighbours
        self.scheduler = scheduler
        self.chance = chance
        self.api = f"v{api}"
        #: How often each fault happened, by its name.
        self.counts: Counter[str] = Counter()
        #: The requests that engines and etcd carried out, by what they ask for.
        self.requests: Counter[str] = Counter()
        self.cluster = EtcdCluster(lambda: scheduler.now, MEMBERS)
        self.cluster.on_change.append(self._count_down)
        self.frozen_members: set[str] = set()
        #: How many faults each member of etcd suffers from at this moment.
        self.impaired: Counter[str] = Counter()
        #: Whether etcd takes no writes.
        self.full = False
        #: Who is asking etcd at this moment; None for the operator, and while keys expire.
        self.actor: Actor | None = None
        self.on_pass_begun: Callable[[Host], None] = lambda host: None
        self.on_pass_ended: Callable[[Host, PassReport], None] = lambda host, report: None
        #: Gets each line of the trace.
        self.tell: Callable[[str], None] = lambda text: None
        #: How many passes have ended.
        self.passes = 0
        self._next_expiry: float | None = None
        self.hosts = [self._host(number) for number in range(1, hosts + 1)]
        self.put_neighbours()
        scheme = "etcd" if api == 2 else "etcd3"
        self.uri = f"{scheme}://{','.join(f'{name}:2379' for name in MEMBERS)}{PREFIX}"

    @property
    def is_large(self) -> bool:
        """Whether agents read only the keys that matter to them, so that they find orphans by sweeps."""
        return self.api == "v3" and self.neighbours > 0

    def put_neighbours(self) -> None:
        """Write the owner records and the agent notes of the hosts that are not simulated."""
        for number in range(self.neighbours):
            record = {"engine": f"NEIGHBOUR:{number}", "claims": {}}
            self.cluster.put(self.api, f"{RECORDS}neighbour-{number}/record", json.dumps(record))
            self.cluster.put(self.api, f"{RECORDS}neighbour-{number}/agent", "{}")

    def _host(self, number: int) -> Host:
        name, address = f"core-{number}", f"10.0.0.{number}"
        engine = SimulatedEngine(
            name, f"ENGINE:{number}", lambda: self.scheduler.now, address, call_at=self.scheduler.call_at
        )
        engine.list_lag(LIST_LAG)
        links = {member: self._link() for member in MEMBERS}
        health, hints = self.chance.choice(["any", "healthy"]), self.draw_hints()
        flags = Flags(health=health, hints=hints, resync=20 if self.is_large else 60)
        return Host(name, address, engine, self._link(), links, flags)

    def draw_hints(self) -> bool:
        """Return whether the next agent of a host follows its engine's events."""
        return self.hints if self.hints is not None else self.chance.random() < HINTED

    def _link(self) -> Link:
        return Link(self.scheduler, self.chance, self.counts)

    def start_agent(self, host: Host) -> None:
        """Start the agent of a host, unless it runs."""
        if host.process and host.process.running:
            return
        host.wanted = True
        host.agents += 1
        process = Process(self.scheduler, f"agent {host.agents} of {host.name}")
        settings = host.flags.settings(host.address, self.uri)
        watch = PassWatch(
            lambda: self.scheduler.now,
            lambda hurried: self._pass_begun(host, hurried=hurried),
            lambda report: self._pass_ended(host, report),
        )
        observers: Sequence[Observer] = (watch,)
        agent = build_agent(settings, self._effects(host, process), lambda label: observers)
        host.process = process
        for label, loop in agent.loops.items():
            process.start(loop.run, label)
        if agent.events:
            agent.events.start()

    def _count_down(self, change: Change) -> None:
        """Count a write of an agent, and kill the agent if this was the last write that it lives to make."""
        host = next((each for each in self.hosts if self.actor and each.name == self.actor.host), None)
        if host and host.writes_to_live and self.actor and self.actor.agent == host.agents:
            host.writes_to_live -= 1
            if not host.writes_to_live:
                self.scheduler.call_at(self.scheduler.now, lambda: self.stop_agent(host))

    def stop_agent(self, host: Host) -> None:
        """Kill the agent of a host where it stands."""
        host.wanted = False
        if host.process:
            host.process.kill()

    def deregister(
        self, host: Host, owner: str, on_end: Callable[[int | None], None], wait: float | None = 5.0
    ) -> None:
        """Run ``wharfinger deregister --yes`` on a host for an owner. ``on_end`` gets the exit code, or None if the
        command failed with an error. ``wait`` is the value of --wait, or None if the flag is not given."""
        process = Process(self.scheduler, f"deregister on {host.name}")
        raw = {**UNSET, "hostname": owner}
        settings = parse_owner_settings(raw, (self.uri,))
        options = DeregisterOptions(dry_run=False, yes=True, force=False, wait=wait)
        effects = self._effects(host, process, Actor(host.name, owner, 0, 0))

        def work() -> None:
            try:
                on_end(deregister(settings, options, effects))
            except Exception:
                on_end(None)

        process.start(work, "deregister")

    def _pass_begun(self, host: Host, *, hurried: bool) -> None:
        host.passes += 1
        host.hurried = hurried
        self.on_pass_begun(host)

    def _pass_ended(self, host: Host, report: PassReport) -> None:
        self.passes += 1
        if report.plan.changes or not report.succeeded or report.plan.held_back:
            changes = ", ".join(f"{each.action.value} {each.key} ({each.reason.value})" for each in report.plan.changes)
            held = f"; held back {sorted(report.held_deletes)}" if report.plan.held_back else ""
            self.tell(f"{host.name} {report.result.value} {report.problem} {changes}{held}")
        self.on_pass_ended(host, report)

    def _effects(self, host: Host, process: Process, actor: Actor | None = None) -> Effects:
        """Return the effects of a program that runs on a host."""
        number = host.agents

        def who() -> Actor:
            return actor or Actor(host.name, host.engine.name, number, host.passes)

        def to_etcd(endpoint: HostPort, request: Request, timeouts: Timeouts) -> Response:
            member, sender = ENDPOINTS[endpoint], who()
            return host.links[member].deliver(request, timeouts, lambda asked: self._serve(member, asked, sender))

        def serve(request: Request) -> tuple[Response, float] | None:
            self.requests[asked_of_engine(request)] += 1
            return host.engine.serve(request)

        def to_engine(endpoint: HostPort, request: Request, timeouts: Timeouts) -> Response:
            return host.socket.deliver(request, timeouts, serve)

        def connect(settings: EngineSettings) -> Any:
            return connect_simulated(to_engine)

        return Effects(
            clock=self.scheduler.clock(),
            background=process,
            network=Network(resolve=lambda name, port: [], source_address=lambda family, address: ""),
            jitter=self.chance.random,
            run_id=lambda: f"{host.name} {number}",
            connect_engine=connect,
            transports=Transports(
                lambda context: SimulatedPool(to_etcd),
                lambda endpoint, context: SimulatedHttpClient(to_etcd, endpoint),
            ),
            environment={},
        )

    def _serve(self, member: str, request: Request, sender: Actor) -> tuple[Response, float] | None:
        """Have a member of etcd answer a request."""
        if not self.cluster.running(member):
            raise Refused
        if member in self.frozen_members:
            return None
        self.requests[asked_of_etcd(request)] += 1
        self.actor = sender
        try:
            response = self.cluster.handle(member, request)
        finally:
            self.actor = None
        self.schedule_expiry()
        return None if response is None else (response, 0.0)

    def etcd_is_broken(self) -> bool:
        """Whether a member of etcd does not do its work at this moment, or etcd takes no writes."""
        return self.full or any(self.impaired.values())

    def schedule_expiry(self) -> None:
        """Have keys expire at their moment, and not only when somebody asks next."""
        due = self.cluster.next_expiry()
        if due is not None and due != self._next_expiry:
            self._next_expiry = due
            self.scheduler.call_at(due, self._expire)

    def _expire(self) -> None:
        self._next_expiry = None
        self.cluster.expire()
        self.schedule_expiry()
