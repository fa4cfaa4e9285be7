"""Containers that say the worst of themselves, all at once on a real engine, beside good ones: nothing breaks."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import docker
import pytest

from controller.effects.clock import Clock, Deadline
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v2.registry import etcd_v2_registry
from model.plan import Action, Change, Reason
from model.report import Result
from model.stored import FOREVER
from tests.support.agent import Agent
from tests.support.engine import DockerEngine
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host
from tests.support.nasty import FORGED, ODD, OTHERS, STRANGE_KEYS, UNFIT, UNFIT_ADDRESSES

#: The owner of all entries here.
OWNER = "core-01"

#: The label of `-useIpFromLabel`.
IP = "com.example.ip"

#: How many cases one container carries, each on a port of its own, beside one good port.
CASES_EACH = 20
GOOD_PORT = 9000


@dataclass(frozen=True)
class Case:
    """One text as a name or an id; `reasons` are those for which it may be refused, none if it fits."""

    field: str
    title: str
    text: str
    reasons: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.field.lower()}-{self.title}"


CASES = [
    *(Case("NAME", title, text, frozenset({"bad-name"})) for title, text in UNFIT.items()),
    *(Case("ID", title, text, frozenset({"bad-id"})) for title, text in (UNFIT | OTHERS).items()),
    *(Case(field, title, text) for field in ("NAME", "ID") for title, text in ODD.items()),
]


@dataclass
class Plot:
    """A container to be, and which port stands for which case."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    env: list[str] = field(default_factory=list)
    ports: dict[int, Case] = field(default_factory=dict)

    def say(self, variable: str, text: str) -> None:
        """As a label or in the environment, in turn, as far as the engine takes it there."""
        if len(self.ports) % 2 and "\0" not in text and len(text) < 100_000:
            self.env.append(f"{variable}={text}")
        else:
            self.labels[variable] = text


def plots() -> Iterator[Plot]:
    """Containers that carry all cases, a good one after each."""
    for number, start in enumerate(range(0, len(CASES), CASES_EACH)):
        plot = Plot(f"nasty{number}")
        for port, case in enumerate(CASES[start : start + CASES_EACH], GOOD_PORT + 1):
            plot.ports[port] = case
            plot.say(f"SERVICE_{port}_{case.field}", case.text)
        yield plot
        yield Plot(f"good{number}")
    for title, text in UNFIT_ADDRESSES.items():
        yield Plot(f"address-{title}", {IP: text})
    yield Plot("strange", dict(STRANGE_KEYS), [f"{key}={text}" for key, text in STRANGE_KEYS.items() if len(text) < 99])
    yield Plot("raw", env=["SERVICE_TAGS=\udcff\udcfe", "SERVICE_X", "NO_VALUE=", "Ü=ü"])


def create(client: docker.APIClient, plot: Plot) -> None:
    """Create the container and start it."""
    ports = [GOOD_PORT, *plot.ports]
    host_config = client.create_host_config(port_bindings=dict.fromkeys(ports))
    made = client.create_container(
        "worker:1", name=plot.name, labels=plot.labels, environment=plot.env, ports=ports, host_config=host_config
    )
    client.start(made["Id"])


@dataclass
class Aftermath:
    """What there is to see when all of them run."""

    host: Host
    agent: Agent
    plots: list[Plot]
    keys: Mapping[str, str]
    plan: Mapping[str, Any]

    def refusals(self, container: str, port: int = GOOD_PORT) -> list[dict[str, str]]:
        """The plan's refusals of a port."""
        said = (container, f"{port}/tcp")
        return [each for each in self.plan["refused"] if (each["container"], each["port"]) == said]

    def port_of(self, case: Case) -> tuple[str, int]:
        """The container and port that carry a case."""
        return next((plot.name, port) for plot in self.plots for port, each in plot.ports.items() if each is case)


@pytest.fixture(scope="module")
def aftermath(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """Everything nasty runs, and an agent has dealt with it; in an etcd of its own, to see all that is written."""
    etcd = EtcdServer()
    host = Host(engine, etcd, tmp_path_factory.mktemp("hostile"))
    host.owner = OWNER
    flags = ("--hostname", OWNER, "-useIpFromLabel", IP)
    try:
        etcd.start()
        engine.remove_all()
        agent = host.agent(*flags).wait_ready()
        made = list(plots())
        client = docker.APIClient(base_url=engine.socket_url, version="auto", timeout=60)
        with closing(client), ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda plot: create(client, plot), made))
        agent.wait_for_passes(3, timeout=60)
        plan = json.loads(host.reconcile("--dry-run", "-o", "json", *flags).stdout)
        yield Aftermath(host, agent, made, host.keys(), plan)
    finally:
        host.close()
        etcd.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_text_is_refused_with_a_reason_or_registered_as_it_is(aftermath: Aftermath, case: Case) -> None:
    """Never anything else: neither mended nor cut short, nor at another place."""
    container, port = aftermath.port_of(case)
    default = f"{OWNER}:{container}:{port}"
    key = f"{case.text}/{default}" if case.field == "NAME" else f"worker-{port}/{case.text}"
    refusals = aftermath.refusals(container, port)
    if case.reasons:
        assert {each["reason"] for each in refusals} == case.reasons
        assert f"SERVICE_{case.field}" in refusals[0]["detail"]
        assert key not in aftermath.keys
    else:
        assert refusals == []
        assert aftermath.keys[key].startswith(f"{aftermath.host.engine.address}:")


def test_the_corpus_is_large() -> None:
    """Names and ids, refused and registered."""
    assert len(CASES) >= 200


@pytest.mark.parametrize("title", UNFIT_ADDRESSES)
def test_an_address_that_is_none_is_refused(aftermath: Aftermath, title: str) -> None:
    """It would be written as it is, and dialled."""
    (refusal,) = aftermath.refusals(f"address-{title}")
    assert refusal["reason"] == "bad-address"
    assert IP in refusal["detail"]


def test_every_good_port_is_registered(aftermath: Aftermath) -> None:
    """Those of good containers, and the good ones of nasty containers."""
    for plot in aftermath.plots:
        name = f"worker-{GOOD_PORT}" if plot.ports else "worker"
        refused = plot.name.startswith("address-")
        assert (f"{name}/{OWNER}:{plot.name}:{GOOD_PORT}" in aftermath.keys) is not refused, plot.name


def test_nothing_else_is_in_etcd(aftermath: Aftermath) -> None:
    """Each port is registered once or refused once, and no key is outside the prefix."""
    everything = aftermath.host.etcd.keys("/")
    assert {key for key in everything if not key.startswith(f"{aftermath.host.prefix}/")} == set()
    ports = sum(1 + len(plot.ports) for plot in aftermath.plots)
    assert len(everything) + len(aftermath.plan["refused"]) == ports
    assert aftermath.plan["changes"] == []


#: How a line of the log begins.
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \[(debug|info|warning|error) *\] ")


def test_the_log_has_no_line_that_is_not_its_own(aftermath: Aftermath) -> None:
    """No line forged, no control character, no traceback, none that floods it."""
    log = aftermath.agent.log()
    assert [line for line in log.splitlines() if not LINE.match(line)] == []
    assert [line for line in log.splitlines() if FORGED in line and "port refused" not in line] == []
    assert uncontrolled(log) == set()
    assert [line for line in log.splitlines() if len(line) > 4096] == []


@pytest.mark.parametrize("output", ["text", "json"])
def test_the_plan_has_no_line_that_is_not_its_own(aftermath: Aftermath, output: str) -> None:
    """One a refusal, whatever is refused; and the JSON is ASCII."""
    done = aftermath.host.reconcile("--dry-run", "-o", output, "--hostname", OWNER, "-useIpFromLabel", IP)
    assert done.returncode == 0
    assert uncontrolled(done.stdout) == set()
    if output == "text":
        assert len(done.stdout.splitlines()) == len(aftermath.plan["refused"]) + 1
    else:
        assert done.stdout.isascii()


def test_the_log_in_json_is_a_document_a_line(aftermath: Aftermath) -> None:
    """For programs that read it."""
    host = aftermath.host
    agent = host.agent("--log-format", "json", "--hostname", OWNER, "-useIpFromLabel", IP).wait_ready()
    agent.terminate()
    events = [json.loads(line)["event"] for line in agent.log().splitlines()]
    assert events.count("port refused") == len(aftermath.plan["refused"])


def test_it_is_healthy_all_the_same(aftermath: Aftermath) -> None:
    """Refusals are not failures: ready, no failed pass, and metrics that say how many there are."""
    agent = aftermath.agent
    assert agent.get("/readyz")[0] == 200
    seen = agent.metrics()
    refused = {name: value for name, value in seen.items() if name.startswith("wharfinger_entries_refused")}
    assert sum(refused.values()) == len(aftermath.plan["refused"])
    passes = {name for name, value in seen.items() if name.startswith("wharfinger_passes_total") and value}
    assert passes == {'wharfinger_passes_total{registry="etcd",result="success"}'}


def test_nothing_is_written_again_and_again(aftermath: Aftermath) -> None:
    """What odd texts became is read back as it was written."""
    index = aftermath.host.etcd.index()
    aftermath.agent.wait_for_passes(3)
    assert aftermath.host.etcd.index() == index


def uncontrolled(text: str) -> set[str]:
    """The characters in it that steer a terminal or break a line, but for the newline itself."""
    return {char for char in text if unicodedata.category(char) in {"Cc", "Zl", "Zp"} and char != "\n"}


#: Containers whose keys cannot be there together, since one's key is another's directory, or both's key is one.
CLASHES = {
    "key-first": ("-e SERVICE_NAME=team -e SERVICE_ID=app", "-e SERVICE_NAME=team/app -e SERVICE_ID=x"),
    "directory-first": ("-e SERVICE_NAME=team/app -e SERVICE_ID=x", "-e SERVICE_NAME=team -e SERVICE_ID=app"),
    "far-below": ("-e SERVICE_ID=a", "-e SERVICE_NAME=worker/a/b/c"),
    "one-key": ("-e SERVICE_NAME=team/app -e SERVICE_ID=x", "-e SERVICE_NAME=team -e SERVICE_ID=app/x"),
}


@pytest.mark.parametrize("clash", CLASHES)
def test_of_two_keys_that_exclude_each_other_the_elder_stays(host: Host, clash: str) -> None:
    """The other is refused, and that is no failure; it is registered when the elder goes."""
    for name, flags in zip(("elder", "younger"), CLASHES[clash], strict=True):
        host.start(name, flags=flags)
    host.start("good")
    agent = host.agent(interval=0.1).wait_ready()
    agent.wait_for_passes(3)
    first, index = host.keys(), host.etcd.index()
    assert len(first) == 2
    agent.wait_for_passes(5)
    assert (host.etcd.index(), agent.passes("operation-error")) == (index, 0)
    assert agent.log().count("port refused") == 1
    host.engine.docker("rm", "--force", "elder")
    agent.wait_for_passes(3)
    second = host.keys()
    assert (len(second), second == first) == (2, False)
    assert host.key("good") in second


@pytest.mark.parametrize("there", ["worker", "worker/shared/core-99:c1:80"])
def test_a_key_that_somebody_elses_key_excludes_is_refused(host: Host, there: str) -> None:
    """Where a directory is needed there is a key, or the other way round; neither is ever touched."""
    host.etcd.put(f"{host.prefix}/{there}", "192.0.2.9:80")
    host.start("one", flags="-e SERVICE_ID=shared")
    host.start("good", flags="-e SERVICE_NAME=good")
    agent = host.agent(interval=0.1).wait_ready()
    index = host.etcd.index()
    agent.wait_for_passes(5)
    assert (host.etcd.index(), agent.passes("operation-error")) == (index, 0)
    seen = host.keys()
    assert seen[there] == "192.0.2.9:80"
    assert {key.partition("/")[0] for key in seen} == {"worker", "good"}
    plan = json.loads(host.reconcile("--dry-run", "-o", "json").stdout)
    assert [(each["container"], each["reason"]) for each in plan["refused"]] == [("one", "conflict")]


#: How many characters go into one part of a key: no more than fit into 255 bytes of UTF-8.
CHARACTERS_EACH = 80


def all_characters() -> Iterator[str]:
    """Texts that together have each character that a key may have, up to U+FFFF, and some from beyond; each ASCII
    character has a text of its own."""
    fit = [
        chr(code) for code in range(0x20, 0x10000) if unicodedata.category(chr(code)) not in {"Cc", "Cs", "Zl", "Zp"}
    ]
    yield from (f"a{char}b" for char in fit if char.isascii() and char != "/")
    rest = [char for char in fit if not char.isascii()] + [chr(code) for code in range(0x10000, 0x110000, 4099)]
    yield from ("".join(rest[start : start + 60]) for start in range(0, len(rest), 60))


def test_every_other_character_survives_the_way_to_etcd_and_back(etcd: EtcdServer) -> None:
    """As the program writes keys and values, and as it, and somebody else, reads them."""
    prefix = "/round-trip/%2f?#"
    host, _, port = etcd.endpoint.rpartition(":")
    registry = etcd_v2_registry(EtcdV2Client([(host, int(port))]), prefix, FOREVER)
    wanted = {f"{prefix}/{text}": text for text in all_characters()}
    for key, value in wanted.items():
        change = Change(Action.CREATE, key, value, None, Reason.NEW)
        assert registry.apply(OWNER, change, Deadline.after(10, Clock())).result is Result.APPLIED, ascii(key)
    seen = registry.read("core-01", Deadline.after(10, Clock())).stored
    assert {key: each.value for key, each in seen.items()} == wanted
    assert etcd.keys(prefix) == wanted
    for stored in seen.values():
        change = Change(Action.DELETE, stored.key, "", stored, Reason.GONE)
        assert registry.apply(OWNER, change, Deadline.after(10, Clock())).result is Result.APPLIED, ascii(stored.key)
    assert registry.read("core-01", Deadline.after(10, Clock())).stored == {}
