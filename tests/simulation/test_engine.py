"""The simulated Docker engine: what the program reads from it is what is true, and its documents are a real
engine's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.effects.clock import Clock, Deadline
from controller.errors import EngineUnavailable
from controller.source.docker import Asking, Engine
from controller.source.engine_client import EngineClient
from controller.source.engine_errors import NotFound
from controller.source.questions import BACKOFF
from model.container import Binding, Container, PortId, port_order
from model.engine_kind import DOCKER
from model.host_port import HostPort
from model.listing import shown_in_list
from model.snapshot import EngineIdentity
from tests.simulation.engine import Answer, Event, NoAnswer, OperationRefused, SimulatedEngine, connect_simulated
from tests.simulation.engine_documents import ContainerTruth, Life, sortable, status_text, timestamp
from tests.simulation.messages import Request, Response
from tests.simulation.transports import TimedOut, Timeouts
from tests.support.fakes import Inline
from tests.support.parity import Case, load_cases

Json = dict[str, Any]

WEB = {"80/tcp": 8080, "443/tcp": None}


class World:
    """One simulated engine, the virtual time, and the program's way to read it."""

    def __init__(self, **options: Any) -> None:
        self.time = 0.0
        self.requests: list[str] = []
        self.engine = SimulatedEngine("core-01", "E:1", lambda: self.time, "10.0.0.1", **options)

    def deliver(self, endpoint: HostPort, request: Request, timeouts: Timeouts) -> Response:
        """See Deliver. The time of the answer passes; an answer that comes too late is none."""
        self.requests.append(request.path)
        answer = self.engine.serve(request)
        if answer is None or answer[1] > timeouts[1]:
            self.time += timeouts[1]
            raise TimedOut
        self.time += answer[1]
        return answer[0]

    def client(self) -> EngineClient:
        """Connect the program's client."""
        return connect_simulated(self.deliver)

    def source(self, stopped_too: bool = False, filters: tuple[tuple[str, str], ...] = ()) -> Engine:
        """The program's reader of the engine."""
        clock = Clock(monotonic=lambda: self.time)
        return Engine(self.client, Asking(Inline(), clock), stopped_too=stopped_too, filters=filters)

    def listed(self, everything: bool = False, filters: dict[str, list[str]] | None = None) -> list[str]:
        """The names in the engine's list, the newest first."""
        return [line["Names"][0][1:] for line in self.client().containers(all=everything, filters=filters)]

    def line(self, name: str) -> Json:
        """A container's line in the list."""
        return dict(*self.client().containers(all=True, filters={"name": [f"^/{name}$"]}))

    def answered(self, path: str, **params: str) -> Response:
        """The engine's answer to a GET."""
        answer = self.engine.handle(Request("GET", path, params))
        assert isinstance(answer, Answer)
        return answer.response


def soon() -> Deadline:
    """Return a deadline that does not matter to the test."""
    return Deadline.after(1e6, Clock())


def as_read(truth: ContainerTruth) -> Container:
    """Return a container as the program has to read it."""
    return Container(
        id=truth.id,
        name=truth.name,
        image=truth.image,
        created=sortable(truth.created),
        status=truth.status,
        exit_code=truth.exit_code,
        env=truth.env,
        labels=truth.labels,
        exposed=tuple(sorted(map(PortId.parse, truth.exposed), key=port_order)),
        published={
            PortId.parse(port): tuple(Binding(each.host_ip, each.host_port) for each in bindings)
            for port, bindings in truth.published.items()
        },
        network_mode=truth.network_mode,
        address=truth.networks.get("bridge", ""),
        networks=truth.networks,
        health=truth.health,
        network_ids=truth.network_ids,
        to_publish=frozenset(map(PortId.parse, truth.to_publish)),
        started=sortable(truth.started_at) if truth.started is not None else "",
        stop_signal=truth.stop_signal,
        stop_timeout=float(truth.stop_timeout),
    )


def read(source: Engine) -> dict[str, Container]:
    """Return the containers that the program reads, by id. Each can be read."""
    snapshot = source.read(soon())
    assert not snapshot.unknown
    return {each.id: _without_start(each) for each in snapshot.containers}


def expected(truths: list[ContainerTruth]) -> dict[str, Container]:
    """Return the containers that the program has to read, by id."""
    return {each.id: _without_start(as_read(each)) for each in truths}


def _without_start(container: Container) -> Container:
    """Return the container without the time of its start. No other container joins its network here, so a new start
    that the list does not show makes no difference to the program."""
    return evolve(container, started="")


# What the program reads.

NAMES = ("web", "db", "cache", "worker")

#: What an operator can do with a container of this name, and a number that decides the details.
OPERATIONS: dict[str, Callable[[SimulatedEngine, str, int], object]] = {
    "run": lambda engine, name, number: engine.run(
        name,
        "nginx",
        ports=({}, {"80/tcp": None}, {"80/tcp": 8000 + number % 3, "53/udp": None}, {"80/tcp": [8001, None]})[
            number % 4
        ],
        exposed=("9000/tcp",),
        env={"SERVICE_NAME": f"s{number}"},
        labels={"tier": str(number % 2)},
        network=("default", "backend", "host", "none", "default")[number % 5],
        healthcheck=number % 3 == 0,
        stop_signal=("", "SIGUSR1", "RTMIN+3", "12", "winch")[number % 5],
        stop_timeout=(None, 0, 30, -1)[number % 4],
    ),
    "create": lambda engine, name, number: engine.create(name, "redis", ports={"6379/tcp": None}),
    "start": lambda engine, name, number: engine.start(name),
    "die": lambda engine, name, number: engine.die(name, number, restarting=number % 4 == 0),
    "kill": lambda engine, name, number: engine.kill(name, 9 if number % 2 else 15),
    "stop": lambda engine, name, number: engine.stop(name, number),
    "restart": lambda engine, name, number: engine.restart(name, number),
    "rename": lambda engine, name, number: engine.rename(name, NAMES[number % len(NAMES)]),
    "pause": lambda engine, name, number: engine.pause(name),
    "unpause": lambda engine, name, number: engine.unpause(name),
    "remove": lambda engine, name, number: engine.remove(name, force=number % 2 == 0),
    "connect": lambda engine, name, number: engine.connect(name, ("backend", "front")[number % 2]),
    "disconnect": lambda engine, name, number: engine.disconnect(name, ("bridge", "backend", "front")[number % 3]),
    "health": lambda engine, name, number: engine.set_health(name, ("healthy", "unhealthy")[number % 2]),
}

STEPS = st.lists(
    st.tuples(
        # More steps run a container, as without one there is little to do.
        st.sampled_from(["run"] * 3 + list(OPERATIONS)),
        st.sampled_from(NAMES),
        st.integers(0, 200),
        # Seconds until the next step.
        st.sampled_from([0.0, 0.1, 0.7, 90.0]),
    ),
    min_size=8,
    max_size=25,
)


def lives(world: World, steps: list[tuple[str, str, int, float]]) -> Iterator[None]:
    """Let containers live, two at first, and yield after each step. What the engine refuses is skipped."""
    world.engine.run("web", "nginx", ports=WEB, healthcheck=True)
    world.engine.run("db", "redis", ports={"6379/tcp": None}, network="backend")
    for operation, name, number, seconds in steps:
        with suppress(OperationRefused):
            OPERATIONS[operation](world.engine, name, number)
        world.time += seconds
        yield


@settings(deadline=None)
@given(STEPS)
def test_the_program_reads_what_is_true(steps: list[tuple[str, str, int, float]]) -> None:
    """After any life of the containers, the program reads each one as it is, the stopped ones too if it asks."""
    world = World()
    up, everything = world.source(), world.source(stopped_too=True)
    for _ in lives(world, steps):
        assert read(everything) == expected(world.engine.containers())
        assert {key: each for key, each in read(up).items() if each.serving} == expected(world.engine.running())


@settings(deadline=None)
@given(STEPS, st.sampled_from([0.5, 1.6]))
def test_with_a_list_that_lags_the_program_reads_in_addition_what_just_died(
    steps: list[tuple[str, str, int, float]], lag: float
) -> None:
    """What runs is read as it is. A container that is not running any more is read for as long as the list lags."""
    world = World()
    world.engine.list_lag(lag)
    died: dict[str, float] = {}
    world.engine.on_event.append(lambda event: died.update({event.id: event.at} if event.action == "die" else {}))
    source = world.source()
    for _ in lives(world, steps):
        began = world.time
        serving = {key: each for key, each in read(source).items() if each.serving}
        truth = expected(world.engine.running())
        assert {key: each for key, each in serving.items() if key in truth} == truth
        assert all(began < died[key] + lag for key in serving.keys() - truth.keys())


@settings(deadline=None)
@given(STEPS)
def test_the_same_life_has_the_same_answers(steps: list[tuple[str, str, int, float]]) -> None:
    """Two engines to which the same happens answer with the same bytes."""
    one, other = World(), World()
    for _ in zip(lives(one, steps), lives(other, steps), strict=True):
        assert one.answered("/containers/json", all="1") == other.answered("/containers/json", all="1")
        assert one.engine.containers() == other.engine.containers()


@settings(deadline=None)
@given(STEPS, st.sampled_from([("label", "tier=1"), ("label", "tier"), ("name", "w"), ("network", "backend")]))
def test_a_filter_selects_by_what_is_true(steps: list[tuple[str, str, int, float]], chosen: tuple[str, str]) -> None:
    """The program's filters select the running containers that have what they ask for."""
    world = World()
    source = world.source(filters=(chosen,))
    passes: Callable[[ContainerTruth], bool] = {
        ("label", "tier=1"): lambda each: each.labels.get("tier") == "1",
        ("label", "tier"): lambda each: "tier" in each.labels,
        ("name", "w"): lambda each: "w" in each.name,
        ("network", "backend"): lambda each: "backend" in each.networks,
    }[chosen]
    for _ in lives(world, steps):
        selected = source.read(soon()).selected or frozenset()
        running = world.engine.running()
        assert {each.id for each in running if passes(each)} == selected & {each.id for each in running}


@settings(deadline=None)
@given(STEPS)
def test_ports_and_addresses_are_never_shared(steps: list[tuple[str, str, int, float]]) -> None:
    """No two running containers have a port of the host with the same protocol, or an address on the same network."""
    world = World()
    for _ in lives(world, steps):
        running = world.engine.running()
        ports = [
            (port.partition("/")[2], binding)
            for each in running
            for port, bindings in each.published.items()
            for binding in bindings
        ]
        addresses = [pair for each in running for pair in each.networks.items() if pair[1]]
        assert len(set(ports)) == len(ports)
        assert len(set(addresses)) == len(addresses)


# The documents.


def replayed(case: Case) -> World:
    """Return an engine whose containers live as the recorded ones of a case did."""
    world = World(bridge="172.29", bridge_ipv6="fd00:29", userland_proxy=False)
    for line in sorted(case.containers_json, key=lambda each: int(each["Created"])):
        inspect = case.inspect[line["Id"]]
        config, host, state = inspect["Config"], inspect["HostConfig"], inspect["State"]
        kind, _, target = host["NetworkMode"].partition(":")
        if kind == "host":
            world.engine.name = config["Hostname"]
        container = world.engine.run(
            inspect["Name"][1:],
            config["Image"],
            ports=asked(host["PortBindings"]) or asked(inspect["NetworkSettings"]["Ports"]),
            exposed=list(config.get("ExposedPorts", ())),
            env=dict(each.split("=", 1) for each in config["Env"]),
            labels=config["Labels"],
            network=f"container:{case.inspect[target]['Name'][1:]}" if target else kind,
        )
        if state["Status"] == "paused":
            world.engine.pause(container)
        if state["Status"] == "exited":
            world.engine.die(container, state["ExitCode"])
    return world


def asked(bindings: dict[str, list[Json] | None]) -> dict[str, Any]:
    """Return the bindings of a recorded document as an operator asks for them."""
    return {
        port: [("" if each["HostIp"] == "0.0.0.0" else each["HostIp"], int(each["HostPort"])) for each in found]
        for port, bound in bindings.items()
        if (found := [each for each in bound or () if each["HostIp"] != "::"])
    }


def masked(document: Json, ids: dict[str, str]) -> Json:
    """Return a document without what depends on the moment and on chance: ids, times, addresses of user-made networks.

    ``ids`` has the names of the containers by their ids.
    """
    text = json.dumps(document)
    for container_id, name in ids.items():
        text = text.replace(container_id, f"<{name}>").replace(container_id[:12], f"<short {name}>")
    text = re.sub(r"[0-9a-f]{64}", "<network>", text)
    text = re.sub(r"2026-\d\d-\d\dT\d\d:\d\d:\d\d\.?\d*Z", "<time>", text)
    text = re.sub(r"172\.(18|28)\.0\.\d+", "<address>", text)
    changed = json.loads(text)
    for endpoint in changed["NetworkSettings"]["Networks"].values():
        # The recordings lack it.
        endpoint.pop("EndpointID", None)
    if "Ports" in changed:
        # The order of the ports in the list, the text of the status, and when it was created.
        changed["Ports"].sort(key=lambda each: json.dumps(each, sort_keys=True))
        changed["Status"] = re.sub(r"(\d+|Less than a) seconds?", "<duration>", changed["Status"])
        changed["Created"] = "<time>"
    return dict(changed)


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.name)
def test_documents_are_those_of_a_recorded_engine(case: Case) -> None:
    """A container that lives as one on a real engine did has the same documents, with the same fields."""
    world = replayed(case)
    client = world.client()
    lines = client.containers(all=True)
    recorded_ids = {each["Id"]: each["Names"][0] for each in case.containers_json}
    ids = {each["Id"]: each["Names"][0] for each in lines}
    assert by_name(lines, ids) == by_name(case.containers_json, recorded_ids)
    inspects = by_name([client.inspect_container(each) for each in ids], ids)
    wanted = by_name(list(case.inspect.values()), recorded_ids)
    for name, each in wanted.items():
        if not each["HostConfig"]["PortBindings"]:
            # Its ports were published by -P, or are part of a network that it joined.
            inspects[name]["HostConfig"]["PortBindings"] = {}
    assert inspects == wanted


def by_name(documents: list[Json], ids: dict[str, str]) -> dict[str, Json]:
    """Return masked documents by the names of their containers."""
    return {ids[each["Id"]]: masked(each, ids) for each in documents}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Up Less than a second"),
        (1, "Up 1 second"),
        (59.9, "Up 59 seconds"),
        (60, "Up About a minute"),
        (150, "Up 2 minutes"),
        (3599, "Up 59 minutes"),
        (3600, "Up About an hour"),
        (3600 + 1800, "Up 2 hours"),
        (48 * 3600, "Up 2 days"),
        (15 * 86400, "Up 2 weeks"),
        (70 * 86400, "Up 2 months"),
        (3 * 365 * 86400, "Up 3 years"),
    ],
)
def test_the_status_says_how_long_a_container_has_been_up(seconds: float, text: str) -> None:
    """The words are those of the real engine, and they are the same until the moment that goes with them."""
    life = Life("web", {}, "running", started=0)
    shown, until = status_text(life, seconds)
    assert shown == text
    assert until > seconds
    assert status_text(life, (seconds + until) / 2)[0] == text


def test_the_list_shows_the_health_and_how_a_container_ended() -> None:
    """The health is in the text of a running container; the exit code in that of one that ended or is restarting."""
    world = World()
    world.engine.create("web", "nginx", healthcheck=True)
    texts, paused = [world.line("web")["Status"]], []
    steps: list[Callable[[], object]] = [
        lambda: world.engine.start("web"),
        lambda: world.engine.set_health("web", "healthy"),
        lambda: world.engine.pause("web"),
        lambda: world.engine.unpause("web"),
        lambda: world.engine.die("web", 3, restarting=True),
        lambda: world.engine.stop("web"),
    ]
    for step in steps:
        step()
        world.time += 65
        texts.append(world.line("web")["Status"])
        paused.append([each.paused for each in world.engine.containers()] == [True])
    assert paused == [False, False, True, False, False, False]
    assert texts == [
        "Created",
        "Up About a minute (health: starting)",
        "Up 2 minutes (healthy)",
        "Up 3 minutes (Paused)",
        "Up 4 minutes (unhealthy)",
        "Restarting (3) About a minute ago",
        "Exited (3) 2 minutes ago",
    ]


def test_a_time_has_no_zeros_at_its_end() -> None:
    """As in the real engine's documents, so that these times do not sort as text."""
    assert [timestamp(each) for each in (None, 0, 1, 1_500_000_000)] == [
        "0001-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.000000001Z",
        "2026-01-01T00:00:01.5Z",
    ]


# Lives.


def test_a_restart_changes_the_ports_that_the_engine_chooses() -> None:
    """A fixed port stays."""
    world = World()
    web = world.engine.run("web", "nginx", ports={"80/tcp": None, "443/tcp": 8443})
    before = world.engine.running()[0].published
    world.engine.restart(web)
    after = world.engine.running()[0].published
    assert [(each["80/tcp"][0].host_port, each["443/tcp"][0].host_port) for each in (before, after)] == [
        (32768, 8443),
        (32769, 8443),
    ]


def test_a_port_of_the_host_is_for_one_container_at_a_time() -> None:
    """The second container cannot start until the first one has ended. Another protocol or address is another port."""
    world = World()
    world.engine.run("first", "nginx", ports={"80/tcp": 8080})
    world.engine.run("udp", "nginx", ports={"80/udp": 8080})
    world.engine.run("local", "nginx", ports={"80/tcp": ("127.0.0.1", 8081)})
    world.engine.run("other", "nginx", ports={"80/tcp": ("127.0.0.2", 8081)})
    second = world.engine.create("second", "nginx", ports={"80/tcp": ("127.0.0.1", 8080)})
    with pytest.raises(OperationRefused, match=r"Bind for 127\.0\.0\.1:8080 failed: port is already allocated"):
        world.engine.start(second)
    failed = world.engine.containers()[-1]
    assert (failed.status, failed.exit_code) == ("created", 128)
    world.engine.die("first")
    world.engine.start(second)
    assert [each.name for each in world.engine.running()] == ["udp", "local", "other", "second"]


def test_ports_are_published_anew_when_the_network_that_carries_them_is_another() -> None:
    """As on an engine 20.10, which publishes through the first network by name, and through one with IPv6 before all.
    The ports for 0.0.0.0 and for :: are counted apart."""
    world = World(bridge_ipv6="fd00:29", userland_proxy=False)
    web = world.engine.run("web", "nginx", ports={"80/tcp": None}, network="mm")
    seen = []
    for operation, network in (
        (world.engine.connect, "zz"),
        (world.engine.connect, "aa"),
        (world.engine.disconnect, "zz"),
        (world.engine.disconnect, "aa"),
        (world.engine.disconnect, "mm"),
        (world.engine.connect, "aa"),
        (world.engine.connect, "bridge"),
        (world.engine.disconnect, "aa"),
    ):
        operation(web, network)
        bindings = world.engine.running()[0].published.get("80/tcp", ())
        seen.append([(each.host_ip, each.host_port) for each in bindings])
    assert seen == [
        [("0.0.0.0", 32768)],
        [("0.0.0.0", 32769)],
        [("0.0.0.0", 32769)],
        [("0.0.0.0", 32770)],
        [],
        [("0.0.0.0", 32771)],
        [("0.0.0.0", 32772), ("::", 32768)],
        [("0.0.0.0", 32772), ("::", 32768)],
    ]


def test_an_address_is_given_again_once_its_container_has_ended() -> None:
    """The lowest address that is free is given, as by the real engine."""
    world = World()
    for name in ("one", "two", "three"):
        world.engine.run(name, "nginx")
    world.engine.die("two")
    world.engine.run("four", "nginx")
    world.engine.start("two")
    assert {each.name: each.address for each in world.engine.running()} == {
        "one": "172.17.0.2",
        "two": "172.17.0.5",
        "three": "172.17.0.4",
        "four": "172.17.0.3",
    }


def test_a_container_that_joins_the_network_of_another_has_no_ports_of_its_own() -> None:
    """It cannot start before that one runs, and cannot join any other network."""
    world = World()
    holder = world.engine.create("holder", "pause", ports={"80/tcp": 8080})
    world.engine.create("side", "nginx", exposed=["80/tcp"], network="container:holder")
    with pytest.raises(OperationRefused, match="cannot join network of a non running container"):
        world.engine.start("side")
    world.engine.start("holder")
    world.engine.start("side")
    side = world.engine.running()[1]
    assert (side.network_mode, side.published, side.networks) == (f"container:{holder}", {}, {})
    with pytest.raises(OperationRefused, match="sharing network namespace"):
        world.engine.connect("side", "backend")


def test_the_health_of_a_container_that_does_not_run_is_unhealthy() -> None:
    """Nobody checks it any more. It is unknown before the first start, and begins anew with each start."""
    world = World()
    world.engine.create("web", "nginx", healthcheck=True)
    steps: list[Callable[[], object]] = [
        lambda: world.engine.start("web"),
        lambda: world.engine.set_health("web", "healthy"),
        lambda: world.engine.die("web"),
        lambda: world.engine.start("web"),
    ]
    seen = [world.engine.containers()[0].health]
    for step in steps:
        step()
        seen.append(world.engine.containers()[0].health)
    assert seen == ["", "starting", "healthy", "unhealthy", "starting"]


def test_the_engine_tells_what_happens() -> None:
    """The events are those of the real engine, with their times, in their order, after the change."""
    world = World()
    told: list[Event] = []
    running: list[int] = []
    world.engine.on_event += [told.append, lambda event: running.append(len(world.engine.running()))]
    web = world.engine.create("web", "nginx", healthcheck=True)
    steps: list[Callable[[], object]] = [
        lambda: world.engine.start(web),
        lambda: world.engine.set_health(web, "healthy"),
        lambda: world.engine.pause(web),
        lambda: world.engine.unpause(web),
        lambda: world.engine.rename(web, "www"),
        lambda: world.engine.connect(web, "backend"),
        lambda: world.engine.disconnect(web, "backend"),
        lambda: world.engine.restart(web, 143),
        lambda: world.engine.kill(web, 15),
        lambda: world.engine.stop(web),
        lambda: world.engine.start(web),
        lambda: world.engine.kill(web),
        lambda: world.engine.start(web),
        lambda: world.engine.remove(web, force=True),
    ]
    for step in steps:
        world.time += 1
        step()
    assert {each.id for each in told} == {web}
    assert [(each.at, each.action, *each.details.values()) for each in told] == [
        (0, "create"),
        (1, "start"),
        (2, "health_status: healthy"),
        (3, "pause"),
        (4, "unpause"),
        (5, "rename", "/web"),
        (6, "connect", "backend"),
        (7, "disconnect", "backend"),
        *[(8, "kill", "15"), (8, "die", "143"), (8, "stop"), (8, "start"), (8, "restart")],
        (9, "kill", "15"),
        *[(10, "kill", "15"), (10, "die", "0"), (10, "stop")],
        (11, "start"),
        *[(12, "kill", "9"), (12, "die", "137")],
        (13, "start"),
        *[(14, "kill", "9"), (14, "die", "137"), (14, "destroy")],
    ]
    assert running == [0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda engine: engine.start("nobody"), "No such container: nobody"),
        (lambda engine: engine.create("w", "nginx"), "Invalid container name"),
        (lambda engine: engine.create("web", "nginx"), 'The container name "/web" is already in use'),
        (lambda engine: engine.rename("db", "web"), 'The container name "/web" is already in use'),
        (lambda engine: engine.unpause("web"), "is not paused"),
        (lambda engine: engine.pause("db"), "is not running"),
        (lambda engine: engine.kill("db"), "is not running"),
        (lambda engine: engine.set_health("web", "healthy"), "has no HEALTHCHECK"),
        (lambda engine: engine.remove("web"), "You cannot remove a running container"),
        (lambda engine: engine.connect("web", "bridge"), "already exists in network bridge"),
        (lambda engine: engine.disconnect("web", "backend"), "is not connected to network backend"),
        (lambda engine: engine.connect("alone", "backend"), r"in private \(none\) mode"),
    ],
)
def test_what_a_real_engine_refuses_is_refused(operation: Callable[[SimulatedEngine], object], message: str) -> None:
    """A scenario gets an error, and nothing changes."""
    world = World()
    world.engine.run("web", "nginx")
    world.engine.create("db", "redis")
    world.engine.run("alone", "nginx", network="none")
    before = world.engine.containers()
    with pytest.raises(OperationRefused, match=message):
        operation(world.engine)
    assert world.engine.containers() == before


# Faults of the engine.


def test_the_list_shows_a_dead_container_while_it_lags() -> None:
    """An inspect in that time answers at its end, and tells the truth."""
    world = World()
    world.engine.list_lag(1.6)
    web = world.engine.run("web", "nginx", ports=WEB)
    world.time = 10.0
    before = shown_in_list(world.line("web"))
    world.engine.kill(web)
    assert world.engine.running() == []
    world.time = 10.4
    assert (world.listed(), shown_in_list(world.line("web"))) == (["web"], before)
    assert world.client().inspect_container(web)["State"]["ExitCode"] == 137
    assert world.time == pytest.approx(11.6)
    assert (world.listed(), world.line("web")["Status"]) == ([], "Exited (137) 1 second ago")


def test_a_start_ends_the_lag_of_the_list() -> None:
    """A container that starts again is listed as it is at once."""
    world = World()
    world.engine.list_lag(5.0)
    web = world.engine.run("web", "nginx", ports={"80/tcp": None})
    world.engine.die(web)
    assert world.line("web")["Ports"][0]["PublicPort"] == 32768
    world.engine.start(web)
    assert world.line("web")["Ports"][0]["PublicPort"] == 32769


def test_a_container_whose_inspect_hangs_is_unknown_to_the_program() -> None:
    """The list and the other containers are answered. After the fault the container is read."""
    world = World()
    web, _ = world.engine.run("web", "nginx"), world.engine.run("db", "redis")
    world.engine.hang_inspect(web)
    source = world.source()
    snapshot = source.read(soon())
    assert [each.name for each in snapshot.containers] == ["db"]
    assert [(each.ref.name, each.problem) for each in snapshot.unknown] == [
        ("web", "its inspect has not answered for 5.0 s")
    ]
    world.engine.heal()
    world.time += BACKOFF[0]
    read(source)
    assert read(source) == expected(world.engine.running())


def test_an_engine_with_live_restore_refuses_while_it_restarts_and_its_containers_go_on() -> None:
    """Nothing can be done with the containers meanwhile, but they can die."""
    world = World()
    for name in ("web", "db"):
        world.engine.run(name, "nginx")
    source = world.source()
    read(source)
    world.engine.stop_engine(live_restore=True)
    assert not world.engine.answers
    with pytest.raises(EngineUnavailable, match="Connection refused"):
        source.read(soon())
    with pytest.raises(OperationRefused, match="does not answer"):
        world.engine.start("web")
    world.engine.die("db")
    assert [each.name for each in world.engine.running()] == ["web"]
    world.engine.start_engine()
    assert read(source) == expected(world.engine.running())


def test_an_engine_without_live_restore_lists_nothing_while_it_stops() -> None:
    """Its containers have ended. After that it refuses connections, and after its start they are still ended."""
    world = World()
    world.engine.run("web", "nginx")
    source = world.source()
    world.engine.stop_engine(live_restore=False, empty_list_for=1.0)
    assert (read(source), world.engine.running()) == ({}, [])
    world.time += 1.0
    with pytest.raises(EngineUnavailable, match="Connection refused"):
        source.read(soon())
    world.engine.start_engine()
    assert (read(source), world.listed(everything=True)) == ({}, ["web"])


def test_a_killed_engine_without_live_restore_ends_its_containers_at_its_next_start() -> None:
    """Until then they go on."""
    world = World()
    world.engine.run("web", "nginx")
    world.engine.stop_engine(live_restore=True)
    assert len(world.engine.running()) == 1
    world.engine.start_engine(containers_end=True)
    assert world.engine.running() == []


def test_a_frozen_engine_never_answers() -> None:
    """The program gives up when its time-out has passed."""
    world = World()
    world.engine.run("web", "nginx")
    source = world.source()
    read(source)
    world.engine.freeze()
    assert world.engine.handle(Request("GET", "/info")) is NoAnswer.SILENT
    with pytest.raises(EngineUnavailable, match="no answer in time"):
        source.read(soon())
    assert world.time == 5.0
    world.engine.thaw()
    assert len(read(source)) == 1


def test_the_identity_of_an_engine_can_change() -> None:
    """After a new connection, the program sees the engine's new id and new name. It keeps using the old name as the
    owner."""
    world = World()
    source = world.source()
    assert source.identity() == EngineIdentity("core-01", "E:1", kind=DOCKER)
    world.engine.name, world.engine.engine_id = "core-02", "E:2"
    source.close()
    assert source.identity() == EngineIdentity("core-01", "E:2", new_name="core-02", kind=DOCKER)


# The API.


def test_the_client_asks_first_what_the_engine_speaks() -> None:
    """So it does with a real engine, and uses that version of the API from then on."""
    world = World()
    assert world.client().info()["ContainersRunning"] == 0
    assert world.requests == ["/_ping", "/v1.41/info"]
    assert world.answered("/_ping").body == b"OK"


def test_a_container_is_inspected_by_id_name_and_the_start_of_its_id() -> None:
    """A start that two ids have in common names none of them."""
    world = World()
    ids = [world.engine.create(f"web{number}", "nginx") for number in range(17)]
    client = world.client()
    for ref in (ids[0], ids[0][:12], "web0"):
        assert client.inspect_container(ref)["Id"] == ids[0]
    common = next(digit for digit in "0123456789abcdef" if sum(each.startswith(digit) for each in ids) > 1)
    for ref in (common, "nobody"):
        with pytest.raises(NotFound, match=f"No such container: {ref}"):
            client.inspect_container(ref)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"label": ["a"]}, ["db", "web"]),
        ({"label": ["a=1"]}, ["web"]),
        ({"label": ["a", "b=2"]}, ["web"]),
        ({"name": ["e"]}, ["web"]),
        ({"name": ["^/db$", "web"]}, ["db", "web"]),
        ({"name": ["("]}, []),
        ({"network": ["backend", "host"]}, ["db"]),
        ({"health": ["starting"]}, ["web"]),
        ({"health": ["none"]}, ["db"]),
        ({"status": ["exited"]}, ["old"]),
        ({"exited": ["3"]}, ["old"]),
        ({"label": ["a"], "name": ["db"]}, ["db"]),
    ],
)
def test_a_list_is_filtered_as_by_a_real_engine(filters: dict[str, list[str]], found: list[str]) -> None:
    """All labels have to match, and one of the values of each other filter; a state is looked for in all states."""
    world = World()
    world.engine.run("web", "nginx", labels={"a": "1", "b": "2"}, healthcheck=True)
    world.engine.run("db", "redis", labels={"a": "2"}, network="backend")
    world.engine.run("old", "redis")
    world.engine.die("old", 3)
    assert world.listed(filters=filters) == found


@pytest.mark.parametrize(
    ("path", "params", "status", "message"),
    [
        ("/v1.42/info", {}, 400, "client version 1.42 is too new. Maximum supported API version is 1.41"),
        ("/v1.41/nothing", {}, 404, "page not found"),
        ("/containers/nobody/json", {}, 404, "No such container: nobody"),
        ("/containers/json", {"filters": '{"colour": ["red"]}'}, 400, "Invalid filter 'colour'"),
        ("/containers/json", {"filters": '{"health": ["so-so"]}'}, 400, "Unrecognised filter value for health: so-so"),
        ("/containers/json", {"filters": '{"status": ["gone"]}'}, 400, "Invalid filter 'status=gone'"),
        ("/containers/json", {"filters": "["}, 400, "invalid character"),
    ],
)
def test_a_wrong_request_is_refused(path: str, params: dict[str, str], status: int, message: str) -> None:
    """The answer has the engine's message."""
    response = World().answered(path, **params)
    assert response.status == status
    assert message in json.loads(response.body)["message"]


def test_a_filter_that_is_not_simulated_stops_the_simulation() -> None:
    """A real engine has it, so neither an error nor an unfiltered list would be right."""
    with pytest.raises(NotImplementedError, match="no filter 'volume'"):
        World().answered("/containers/json", filters='{"volume": ["data"]}')


def test_every_other_list_has_the_ports_in_another_order() -> None:
    """As with a real engine, nobody can rely on their order."""
    world = World()
    world.engine.run("web", "nginx", ports=WEB)
    one, other = (json.loads(world.answered("/containers/json").body)[0]["Ports"] for _ in range(2))
    assert one == other[::-1]
    assert one != other
