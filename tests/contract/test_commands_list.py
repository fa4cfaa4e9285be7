"""``wharfinger list`` and ``wharfinger hosts``, against a real etcd, and against a running agent."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from jsonschema import Draft202012Validator

import controller.commands
from controller.commands.build import Effects
from controller.commands.exit_codes import ExitCode
from controller.commands.hosts import HostsOptions, list_hosts
from controller.commands.list import ListOptions, list_entries
from controller.commands.surveys import SurveyedPlaces
from controller.config.settings import parse_connection
from controller.effects.clock import Clock
from model.agent_note import AgentNote
from model.drain_order import DrainedContainer, DrainOrder
from model.record import Claim, OwnerRecord, RecordKeys
from tests.support.agent import PROGRAM, Agent, run_once
from tests.support.command_host import OWNER, Host
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3
from tests.support.processes import REPOSITORY, clean_environment
from tests.support.waiting import wait_until

PREFIX = "/services"
KEYS = RecordKeys(PREFIX)
NOTE = AgentNote("9.8.7", 1.0, 10.0, 60.0, {}, "run-1")
IN_SYNC, FAILED, *_ = ExitCode

#: What `list` and `hosts` are run with.
Command = Callable[..., tuple[ExitCode, str, str]]


class Clocked:
    """A clock that does something in place of each sleep, and is interrupted by Ctrl-C when there is nothing left to
    do."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = iter(steps)

    def sleep(self, seconds: float) -> None:
        """Take the next step."""
        try:
            next(self._steps)()
        except StopIteration:
            raise KeyboardInterrupt from None


@pytest.fixture
def etcd(good: EtcdServer) -> EtcdV3:
    """An etcd with a host that runs, a dead one, a registrator, somebody else's key and one that nobody can read."""
    v3 = EtcdV3(good.endpoint)
    claim = Claim.of("c" * 64, ["10.0.0.1:81"])
    for key, value in {
        f"{PREFIX}/web/core-01:app:80": "10.0.0.1:80",
        f"{PREFIX}/web/blue": "10.0.0.1:81",
        f"{PREFIX}/web/core-02:app:80": "[fd00::2]:80",
        f"{PREFIX}/web/old:app:80": "10.0.0.3:80",
        f"{PREFIX}/web/theirs": "10.0.0.4:80",
        f"{PREFIX}/odd": "?",
        KEYS.record("core-01"): OwnerRecord("ENGINE-1", {f"{PREFIX}/web/blue": claim}).encode(),
        KEYS.agent_note("core-01"): NOTE.encode(),
        KEYS.record("core-02"): OwnerRecord("ENGINE-2").encode(),
        KEYS.agent_note("core-02"): evolve(NOTE, flags={"heartbeat": "10"}).encode(),
        KEYS.drain_order("core-02"): DrainOrder(all_until=4e9).encode(),
        KEYS.drain_order("core-03"): DrainOrder({"a": DrainedContainer("a", "s", "web")}).encode(),
        KEYS.drain_order("core-04"): "?",
    }.items():
        v3.put(key, value)
    v3.put(f"{PREFIX}/web/core-01:short:80", "10.0.0.1:82", 90)
    return v3


def places(*uris: str) -> SurveyedPlaces:
    """Return these registries, as the agent of core-01 tells them."""
    return SurveyedPlaces(parse_connection({}, uris, ""), "core-01")


@pytest.fixture
def listed(etcd: EtcdV3, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `wharfinger list`, and returns its exit code and what it printed."""

    def run(output: str = "table", *uris: str, owner: str = "") -> tuple[ExitCode, str, str]:
        chosen = places(*(uris or [f"etcd3://{etcd.endpoint}{PREFIX}"]))
        code = list_entries(ListOptions(owner, output, watch=False), chosen, Effects())
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def hosts(etcd: EtcdV3, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `wharfinger hosts`, and returns its exit code and what it printed."""

    def run(output: str = "table") -> tuple[ExitCode, str, str]:
        code = list_hosts(HostsOptions(output), places(f"etcd3://{etcd.endpoint}{PREFIX}"), Effects())
        return code, *capsys.readouterr()

    return run


def valid(command: str, text: str) -> Any:
    """Return the JSON document that a command printed, which its schema allows."""
    schema = json.loads((Path(controller.commands.__file__).parent / f"schemas/{command}.json").read_text())
    Draft202012Validator.check_schema(schema)
    document = json.loads(text)
    Draft202012Validator(schema).validate(document)
    return document


def fields(lines: str) -> list[list[str]]:
    """Return the cells of a table. The mark of the agent's own entries is left out."""
    return [re.split(r"  +", line.removeprefix("*").lstrip()) for line in lines.splitlines()]


def own(lines: str) -> list[str]:
    """Return the third cell of each marked line, counted with the mark."""
    return [re.split(r"  +", line)[2] for line in lines.splitlines() if line.startswith("*")]


def test_the_table_has_every_entry_of_every_host(listed: Command) -> None:
    """Sorted by service and id, and the agent's own entries are marked. The last line says what there is, and what it
    cost to find out."""
    code, out, err = listed()
    *table, summary, cost = fields(out)
    assert (code, err) == (IN_SYNC, "")
    assert table[0] == ["SERVICE", "ID", "ADDRESS", "OWNER", "CONTAINER", "STATE", "LEASE"]
    assert [row[:6] for row in table[1:]] == [
        ["-", "odd", "-", "-", "-", "unreadable"],
        ["web", "blue", "10.0.0.1:81", "core-01", "c" * 12, "ours"],
        ["web", "core-01:app:80", "10.0.0.1:80", "core-01", "app", "ours"],
        ["web", "core-01:short:80", "10.0.0.1:82", "core-01", "short", "ours"],
        ["web", "core-02:app:80", "[fd00::2]:80", "core-02", "app", "orphan"],
        ["web", "old:app:80", "10.0.0.3:80", "old", "app", "foreign"],
        ["web", "theirs", "10.0.0.4:80", "-", "-", "foreign"],
    ]
    assert own(out) == ["blue", "core-01:app:80", "core-01:short:80"]
    assert [row[6] for row in table[1:] if row[6] != "-"] == [table[4][6]]
    assert 80 <= int(table[4][6].removesuffix("s")) <= 90
    assert summary == ["7 entries: 3 ours, 2 foreign, 1 orphan, 1 unreadable."]
    assert re.fullmatch(r"It took 5 requests and \d\.\d\d seconds to read 14 keys\.", cost[0])


def test_without_an_agent_nothing_is_marked(etcd: EtcdV3, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no column for it."""
    unmarked = evolve(places(f"etcd3://{etcd.endpoint}{PREFIX}"), this_owner="")
    list_entries(ListOptions("", "table", watch=False), unmarked, Effects())
    assert capsys.readouterr().out.startswith("SERVICE  ID")
    list_hosts(HostsOptions("table"), unmarked, Effects())
    assert capsys.readouterr().out.startswith("OWNER  ")


def test_the_wide_table_has_keys_and_explanations(listed: Command) -> None:
    """So that nobody has to guess why an entry is in its state."""
    rows = {row[-2]: row[-1] for row in fields(listed("wide")[1])[1:-2]}
    assert rows[f"{PREFIX}/web/core-02:app:80"] == "the agent of 'core-02' is dead"
    assert rows[f"{PREFIX}/web/old:app:80"] == "'old' has no owner record"
    assert rows[f"{PREFIX}/web/core-01:app:80"] == "-"


def test_the_entries_of_one_owner_can_be_listed_alone(listed: Command) -> None:
    """Nothing else is counted, and an owner without entries has none."""
    out = listed(owner="core-02")[1]
    assert [row[1] for row in fields(out)[1:-2]] == ["core-02:app:80"]
    assert "1 entry: 1 orphan." in out
    assert listed(owner="nobody")[1].startswith("0 entries.\n")


def test_the_json_of_list_is_as_its_schema_says(listed: Command) -> None:
    """Every field is there, whatever is known. Two runs differ in what the reading took alone."""
    (registry,) = valid("list", listed("json")[1])["registries"]
    assert (registry["registry"], registry["prefix"], registry["problem"]) == ("etcd3", PREFIX, None)
    entries = {each["id"]: each for each in registry["entries"]}
    assert entries["blue"] == {
        "key": f"{PREFIX}/web/blue",
        "value": "10.0.0.1:81",
        "service": "web",
        "id": "blue",
        "address": "10.0.0.1",
        "port": 81,
        "owner": "core-01",
        "this_host": True,
        "container": "c" * 64,
        "state": "ours",
        "detail": None,
        "expires": False,
        "seconds_left": None,
    }
    assert (entries["odd"]["address"], entries["odd"]["owner"], entries["odd"]["this_host"]) == (None, None, False)
    assert entries["core-01:short:80"]["expires"]
    assert 80 <= entries["core-01:short:80"]["seconds_left"] <= 90
    (again,) = valid("list", listed("json")[1])["registries"]
    assert [*again] == [*registry]
    assert [each["key"] for each in again["entries"]] == [each["key"] for each in registry["entries"]]


def test_a_registry_that_cannot_be_read_does_not_keep_the_others_from_being_shown(
    listed: Command, etcd: EtcdV3
) -> None:
    """Each registry has its URI before its entries, without the password that somebody wrote into it."""
    uris = ("etcd://127.0.0.1:1/services", f"etcd3://{etcd.endpoint}{PREFIX}", f"etcd3://{etcd.endpoint}/empty")
    code, out, err = listed("table", *uris)
    assert code == FAILED
    assert err.startswith("wharfinger: etcd://127.0.0.1:1/services: ")
    assert [line for line in out.splitlines() if "://" in line] == [*uris]
    assert "7 entries" in out
    assert out.splitlines()[-2] == "0 entries."
    code, out, _ = listed("json", *uris)
    problems = [each["problem"] for each in valid("list", out)["registries"]]
    assert code == FAILED
    assert problems[0]
    assert problems[1:] == [None, None]


def test_hosts_shows_who_writes_and_who_is_drained(hosts: Command) -> None:
    """A host that only ids name is shown, too: registrator, or one whose record was removed."""
    code, out, err = hosts()
    *table, summary, cost = fields(out)
    assert (code, err) == (IN_SYNC, "")
    assert table == [
        ["OWNER", "ENGINE", "VERSION", "ENTRIES", "ALIVE", "DRAINING"],
        ["core-01", "ENGINE-1", "9.8.7", "3", "yes", "no"],
        ["core-02", "ENGINE-2", "9.8.7", "1", "no", "all until 2096-10-02T07:06:40Z"],
        ["core-03", "no owner record", "-", "0", "unknown", "1 container"],
        ["core-04", "no owner record", "-", "0", "unknown", "unreadable"],
        ["old", "no owner record", "-", "1", "unknown", "no"],
    ]
    assert [line.split()[1] for line in out.splitlines() if line.startswith("*")] == ["core-01"]
    assert summary == ["5 hosts."]
    assert cost[0].startswith("It took 5 requests and ")


def test_the_json_of_hosts_is_as_its_schema_says(hosts: Command) -> None:
    """What is not known is null."""
    (registry,) = valid("hosts", hosts("json")[1])["registries"]
    first, second, third, fourth, _ = registry["hosts"]
    assert first == {
        "owner": "core-01",
        "this_host": True,
        "recorded": True,
        "engine": "ENGINE-1",
        "version": "9.8.7",
        "entries": 3,
        "alive": "yes",
        "draining": {"readable": True, "all": False, "all_until": None, "containers": []},
    }
    assert second["draining"]["all_until"] == "2096-10-02T07:06:40Z"
    assert third["draining"]["containers"] == [{"id": "a", "name": "web", "until": None}]
    assert (third["engine"], third["version"], third["recorded"]) == (None, None, False)
    assert not fourth["draining"]["readable"]


def watched(uri: str, output: str, *steps: Callable[[], object]) -> ExitCode:
    """Run `wharfinger list --watch` until the steps have been taken, one between each two looks."""
    clock = Clock(sleep=Clocked(*steps).sleep)
    return list_entries(ListOptions("", output, watch=True), places(uri), Effects(clock=clock))


def test_watch_prints_again_when_something_has_changed(etcd: EtcdV3, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed while nothing changed, or while only others wrote. Ctrl-C ends it with exit code 0."""
    code = watched(
        f"etcd3://{etcd.endpoint}{PREFIX}",
        "table",
        lambda: None,
        lambda: etcd.put(f"{PREFIX}/web/new", "10.0.0.5:80"),
        lambda: etcd.put("/elsewhere", "x"),
    )
    out, err = capsys.readouterr()
    assert (code, err) == (IN_SYNC, "")
    assert [line for line in out.splitlines() if " entries:" in line] == [
        "7 entries: 3 ours, 2 foreign, 1 orphan, 1 unreadable.",
        "8 entries: 3 ours, 3 foreign, 1 orphan, 1 unreadable.",
    ]
    assert len(re.findall(r"^At 20\S+Z:$", out, re.MULTILINE)) == 2


def test_watch_prints_one_json_document_after_the_other(etcd: EtcdV3, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is a whole one."""
    uri = f"etcd3://{etcd.endpoint}{PREFIX}"
    watched(uri, "json", lambda: etcd.delete(f"{PREFIX}/odd"))
    documents = capsys.readouterr().out.split("\n}\n{")
    assert len(documents) == 2
    assert len(valid("list", "{" + documents[1])["registries"][0]["entries"]) == 6


def test_watch_outlasts_an_etcd_that_does_not_answer(good: EtcdServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Its problem is printed once, and then what it holds."""
    EtcdV3(good.endpoint).put(f"{PREFIX}/web/x", "10.0.0.1:80")
    code = watched(f"etcd3://{good.endpoint}{PREFIX}", "table", good.kill, lambda: None, good.start)
    out, err = capsys.readouterr()
    assert code == IN_SYNC
    assert len(err.splitlines()) == 1
    assert out.count("1 entry: 1 foreign.") == 2


@pytest.fixture
def agent(host: Host) -> Iterator[Agent]:
    """A running agent, which has registered a container."""
    host.runs("a")
    agent = host.agent().wait_ready()
    wait_until(lambda: host.registered, what="the entry")
    yield agent
    agent.terminate()


def test_without_a_uri_the_agent_is_asked_and_its_own_entries_are_marked(host: Host, agent: Agent) -> None:
    """The URIs in the environment do not count: the agent has the same ones, and tells its owner besides."""
    env = {"WHARFINGER_LISTEN": agent.listen, "WHARFINGER_REGISTRY": "etcd://127.0.0.1:1/none"}
    done = run_once("", "list", "-o", "json", env=env)
    assert (done.returncode, done.stderr) == (IN_SYNC, "")
    (registry,) = valid("list", done.stdout)["registries"]
    assert [(each["owner"], each["this_host"], each["state"]) for each in registry["entries"]] == [
        (OWNER, True, "ours")
    ]
    done = run_once("", "hosts", f"--agent=http://{agent.listen}")
    assert f"\n*  {OWNER} " in done.stdout


def test_without_a_uri_and_without_an_agent_the_message_says_what_to_give() -> None:
    """The exit code is 1."""
    done = run_once("", "list", env={"WHARFINGER_LISTEN": "127.0.0.1:1"})
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr.rstrip().endswith("or name a registry, as in etcd://127.0.0.1:2379/services")


def test_watch_redraws_a_terminal_and_ends_by_sigint(host: Host) -> None:
    """With exit code 0. A table is cut to the terminal's width."""
    ours, its = pty.openpty()
    argv = [*PROGRAM, "list", "--watch", host.uri]
    with subprocess.Popen(argv, stdin=its, stdout=its, stderr=its, cwd=REPOSITORY, env=clean_environment()) as child:
        os.close(its)
        shown = b""
        while b"0 entries." not in shown:
            shown += os.read(ours, 4096)
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == IN_SYNC
    os.close(ours)
    assert b"\x1b[2J" in shown
