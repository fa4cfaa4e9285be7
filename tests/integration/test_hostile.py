"""Containers with hostile metadata, all at once on a real engine beside good ones: nothing breaks."""

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
from tests.support.host import Host, on_both
from tests.support.nasty import FORGED, ODD, OTHERS, STRANGE_KEYS, UNFIT, UNFIT_ADDRESSES

#: The owner of all entries here.
OWNER = "core-01"

#: The label of `-useIpFromLabel`.
IP = "com.example.ip"

#: The number of cases that one container carries, each on a port of its own, beside one good port.
CASES_EACH = 20
GOOD_PORT = 9000


@dataclass(frozen=True)
class Case:
    """A text as a service's name or id. `reasons` are those for which it may be refused; empty if it must be
    registered."""

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
class PlannedContainer:
    """A container to create, and the case that each of its ports carries."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    env: list[str] = field(default_factory=list)
    ports: dict[int, Case] = field(default_factory=dict)

    def set_variable(self, variable: str, text: str) -> None:
        """Set a variable as a label or in the environment, in turn, as far as the engine accepts it there."""
        if len(self.ports) % 2 and "\0" not in text and len(text) < 100_000:
            self.env.append(f"{variable}={text}")
        else:
            self.labels[variable] = text


def planned_containers() -> Iterator[PlannedContainer]:
    """Yield containers that carry all cases, each followed by a good one, then those with unfit addresses and other
    oddities."""
    for number, start in enumerate(range(0, len(CASES), CASES_EACH)):
        planned = PlannedContainer(f"nasty{number}")
        for port, case in enumerate(CASES[start : start + CASES_EACH], GOOD_PORT + 1):
            planned.ports[port] = case
            planned.set_variable(f"SERVICE_{port}_{case.field}", case.text)
        yield planned
        yield PlannedContainer(f"good{number}")
    for title, text in UNFIT_ADDRESSES.items():
        yield PlannedContainer(f"address-{title}", {IP: text})
    yield PlannedContainer(
        "strange", dict(STRANGE_KEYS), [f"{key}={text}" for key, text in STRANGE_KEYS.items() if len(text) < 99]
    )
    yield PlannedContainer("raw", env=["SERVICE_TAGS=\udcff\udcfe", "SERVICE_X", "NO_VALUE=", "Ü=ü"])


def create(client: docker.APIClient, planned: PlannedContainer) -> None:
    """Create the container and start it."""
    ports = [GOOD_PORT, *planned.ports]
    host_config = client.create_host_config(port_bindings=dict.fromkeys(ports))
    made = client.create_container(
        "worker:1",
        name=planned.name,
        labels=planned.labels,
        environment=planned.env,
        ports=ports,
        host_config=host_config,
    )
    client.start(made["Id"])


@dataclass
class Aftermath:
    """What there is to check once all containers run."""

    host: Host
    agent: Agent
    planned_containers: list[PlannedContainer]
    keys: Mapping[str, str]
    plan: Mapping[str, Any]

    def refusals(self, container: str, port: int = GOOD_PORT) -> list[dict[str, str]]:
        """Return the plan's refusals of a port."""
        said = (container, f"{port}/tcp")
        return [each for each in self.plan["refused"] if (each["container"], each["port"]) == said]

    def port_of(self, case: Case) -> tuple[str, int]:
        """Return the container and port that carry a case."""
        return next(
            (planned.name, port)
            for planned in self.planned_containers
            for port, each in planned.ports.items()
            if each is case
        )


@pytest.fixture(scope="module")
def aftermath(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """All hostile containers run, and an agent has dealt with them. It has an etcd of its own, to see every key that is
    written."""
    etcd = EtcdServer()
    host = Host(engine, etcd, tmp_path_factory.mktemp("hostile"))
    host.owner = OWNER
    flags = ("--hostname", OWNER, "-useIpFromLabel", IP)
    try:
        etcd.start()
        engine.remove_all()
        agent = host.agent(*flags).wait_ready()
        made = list(planned_containers())
        client = docker.APIClient(base_url=engine.socket_url, version="auto", timeout=60)
        with closing(client), ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda planned: create(client, planned), made))
        agent.wait_for_passes(3, timeout=60)
        plan = json.loads(host.reconcile("--dry-run", "-o", "json", *flags).stdout)
        yield Aftermath(host, agent, made, host.keys(), plan)
    finally:
        host.close()
        etcd.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_hostile_name_or_id_is_refused_with_a_reason_or_registered_unchanged(
    aftermath: Aftermath, case: Case
) -> None:
    """Each hostile name or id is refused with its reason, or registered unchanged. It is never corrected, shortened or
    put elsewhere."""
    container, port = aftermath.port_of(case)
    default = f"{OWNER}:{container}:{port}"
    key = f"{case.text}/{default}" if case.field == "NAME" else f"worker-{port}/{case.text}"
    refusals = aftermath.refusals(container, port)
    if case.reasons:
        assert {each["reason"] for each in refusals} == case.reasons
        assert f" SERVICE_{port}_{case.field} " in refusals[0]["detail"]
        assert key not in aftermath.keys
    else:
        assert refusals == []
        assert aftermath.keys[key].startswith(f"{aftermath.host.engine.address}:")


def test_there_are_at_least_200_hostile_names_and_ids() -> None:
    """The test above covers at least 200 names and ids."""
    assert len(CASES) >= 200


@pytest.mark.parametrize("title", UNFIT_ADDRESSES)
def test_a_label_that_holds_no_address_is_refused(aftermath: Aftermath, title: str) -> None:
    """If the address label holds no IP address, the port is refused. Otherwise clients would take the text for an
    address."""
    (refusal,) = aftermath.refusals(f"address-{title}")
    assert refusal["reason"] == "bad-address"
    assert IP in refusal["detail"]


def test_every_good_port_is_registered(aftermath: Aftermath) -> None:
    """The good ports are registered, also those of containers with hostile ones."""
    for planned in aftermath.planned_containers:
        name = f"worker-{GOOD_PORT}" if planned.ports else "worker"
        refused = planned.name.startswith("address-")
        assert (f"{name}/{OWNER}:{planned.name}:{GOOD_PORT}" in aftermath.keys) is not refused, planned.name


def test_each_port_is_registered_once_or_refused_once_and_nothing_else_is_in_etcd(aftermath: Aftermath) -> None:
    """Each port is registered once or refused once, and no key is outside the prefix."""
    everything = aftermath.host.etcd.keys("/")
    assert {key for key in everything if not key.startswith(f"{aftermath.host.prefix}/")} == set()
    ports = sum(1 + len(planned.ports) for planned in aftermath.planned_containers)
    assert len(everything) + len(aftermath.plan["refused"]) == ports
    assert aftermath.plan["changes"] == []


#: The start of each line of the log.
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \[(debug|info|warning|error) *\] ")


def test_hostile_texts_cannot_forge_a_line_of_the_log(aftermath: Aftermath) -> None:
    """The log has no forged line, no control character, no traceback and no line over 4096 characters."""
    log = aftermath.agent.log()
    assert [line for line in log.splitlines() if not LINE.match(line)] == []
    assert [line for line in log.splitlines() if FORGED in line and "port refused" not in line] == []
    assert control_characters(log) == set()
    assert [line for line in log.splitlines() if len(line) > 4096] == []


@pytest.mark.parametrize("output", ["text", "json"])
def test_hostile_texts_cannot_forge_a_line_of_the_plan(aftermath: Aftermath, output: str) -> None:
    """Below its heading, the plan has one line for each refusal, then an empty line and the summary, without control
    characters. As JSON, it is ASCII."""
    done = aftermath.host.reconcile("--dry-run", "-o", output, "--hostname", OWNER, "-useIpFromLabel", IP)
    assert done.returncode == 0
    assert control_characters(done.stdout) == set()
    if output == "text":
        heading, *refused, empty, summary = done.stdout.splitlines()
        assert (heading, empty) == ("Refused:", "")
        assert summary.startswith("Plan: ")
        assert all(line.startswith("! ") for line in refused)
        assert len(refused) == len(aftermath.plan["refused"])
    else:
        assert done.stdout.isascii()


def test_each_line_of_the_json_log_is_one_document(aftermath: Aftermath) -> None:
    """With `--log-format json`, each line of the log is one JSON document, which programs can read."""
    host = aftermath.host
    agent = host.agent("--log-format", "json", "--hostname", OWNER, "-useIpFromLabel", IP).wait_ready()
    agent.terminate()
    events = [json.loads(line)["event"] for line in agent.log().splitlines()]
    assert events.count("port refused") == len(aftermath.plan["refused"])


def test_refusals_leave_the_agent_healthy(aftermath: Aftermath) -> None:
    """Refusals are not failures: the agent is ready, no pass failed, and the metrics count the refusals."""
    agent = aftermath.agent
    assert agent.get("/readyz")[0] == 200
    seen = agent.metrics()
    refused = {name: value for name, value in seen.items() if name.startswith("wharfinger_entries_refused")}
    assert sum(refused.values()) == len(aftermath.plan["refused"])
    passes = {name for name, value in seen.items() if name.startswith("wharfinger_passes_total") and value}
    assert passes == {'wharfinger_passes_total{registry="etcd",result="success"}'}


def test_hostile_texts_cause_no_repeated_writes(aftermath: Aftermath) -> None:
    """Further passes write nothing: odd texts are read back as they were written."""
    index = aftermath.host.etcd.index()
    aftermath.agent.wait_for_passes(3)
    assert aftermath.host.etcd.index() == index


def control_characters(text: str) -> set[str]:
    """Return the characters in a text that control a terminal or break a line, except the newline."""
    return {char for char in text if unicodedata.category(char) in {"Cc", "Zl", "Zp"} and char != "\n"}


#: Pairs of containers whose keys exclude each other: one's key is the other's directory, or both have the same key.
CLASHES = {
    "key-first": ("-e SERVICE_NAME=team -e SERVICE_ID=app", "-e SERVICE_NAME=team/app -e SERVICE_ID=x"),
    "directory-first": ("-e SERVICE_NAME=team/app -e SERVICE_ID=x", "-e SERVICE_NAME=team -e SERVICE_ID=app"),
    "far-below": ("-e SERVICE_ID=a", "-e SERVICE_NAME=worker/a/b/c"),
    "one-key": ("-e SERVICE_NAME=team/app -e SERVICE_ID=x", "-e SERVICE_NAME=team -e SERVICE_ID=app/x"),
}


@pytest.mark.parametrize("clash", CLASHES)
def test_of_two_keys_that_exclude_each_other_that_of_the_older_container_is_registered(host: Host, clash: str) -> None:
    """If one container's key excludes another's, the older one keeps its key. The other is refused without failing the
    pass, and is registered when the older one ends."""
    for name, flags in zip(("older", "younger"), CLASHES[clash], strict=True):
        host.start(name, flags=flags)
    host.start("good")
    agent = host.agent(interval=0.1).wait_ready()
    agent.wait_for_passes(3)
    first, index = host.keys(), host.etcd.index()
    assert len(first) == 2
    agent.wait_for_passes(5)
    assert (host.etcd.index(), agent.passes("operation-error")) == (index, 0)
    assert agent.log().count("port refused") == 1
    host.engine.docker("rm", "--force", "older")
    agent.wait_for_passes(3)
    second = host.keys()
    assert (len(second), second == first) == (2, False)
    assert host.key("good") in second


@pytest.mark.parametrize("there", ["worker", "worker/shared/core-99:c1:80"])
def test_a_key_that_the_key_of_another_owner_excludes_is_refused(host: Host, there: str) -> None:
    """If another owner's key is where a directory is needed, or below the wanted key, the port is refused, and the
    other's key is never touched."""
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


#: The number of characters in one part of a key: no more than fit into 255 bytes of UTF-8.
CHARACTERS_EACH = 80


def all_characters() -> Iterator[str]:
    """Yield texts that together have each character that a key may have up to U+FFFF, and some beyond. Each ASCII
    character has a text of its own."""
    fit = [
        chr(code) for code in range(0x20, 0x10000) if unicodedata.category(chr(code)) not in {"Cc", "Cs", "Zl", "Zp"}
    ]
    yield from (f"a{char}b" for char in fit if char.isascii() and char != "/")
    rest = [char for char in fit if not char.isascii()] + [chr(code) for code in range(0x10000, 0x110000, 4099)]
    yield from ("".join(rest[start : start + 60]) for start in range(0, len(rest), 60))


def test_every_allowed_character_is_read_back_as_it_was_written(etcd: EtcdServer) -> None:
    """The registry writes, reads and deletes keys and values with any allowed character, and another client reads them
    the same."""
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


@on_both("host")
@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (
            "-l SERVICE_9000_tcp_Name=../evil -e SERVICE_NAME=good",
            "label SERVICE_9000_tcp_Name '../evil' has the path part '..'",
        ),
        (
            "-e SERVICE_9000_ID=core-99:other:80 -l SERVICE_ID=good",
            "environment variable SERVICE_9000_ID 'core-99:other:80' has the form of an id of host 'core-99', which",
        ),
    ],
    ids=["name", "id"],
)
def test_a_key_from_before_a_rule_goes_with_the_reason_refused(host: Host, flags: str, says: str) -> None:
    """An earlier version registered a port that this version refuses. The dry run shows that its key will be deleted,
    and why, with the label or variable that was really set. The pass deletes the key, and does not count the delete as
    drift."""
    host.start("old", flags=flags)
    host.start("other")
    host.store.put(f"{host.prefix}/{host.key('old')}", "192.0.2.1:1")
    shown = host.reconcile("--dry-run").stdout
    (line,) = (line for line in shown.splitlines() if line.startswith("- "))
    assert f"{host.key('old')}  192.0.2.1:1  (refused: " in line
    assert says in line
    agent = host.agent().wait_ready()
    host.wait_for({key: value for key, value in host.expected().items() if key != host.key("old")})
    assert agent.drift() == {"missing": 0, "overwritten": 0, "orphan": 0}
