"""docs/migrate.md, followed word for word on a host where registrator ran, then from etcd's v2 API to v3, and back to
registrator; and on a host where registrator 9 ran."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from attrs import frozen

from tests.support.etcd_v3 import EtcdV3
from tests.support.host import Host
from tests.support.processes import REPOSITORY, Child, clean_environment, free_ports
from tests.support.waiting import wait_until

PAGE = (REPOSITORY / "docs" / "migrate.md").read_text()

#: The section about registrator 9, of which each part is for another registry.
FROM_9 = re.search(r"^## From registrator 9$.*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL)[0]  # type: ignore[index]
KEYS_OF_9, _, RECORDS_OF_9 = FROM_9.partition("### Its records for CoreDNS")

GUIDE, _, GUIDE_BACK = PAGE.replace(FROM_9, "").partition("## Back to registrator")

#: The part after this heading stops once more, when both registries are in use.
TO_V3 = "## From etcd's v2 API to v3"

T = TypeVar("T")

EARLIER = "0a1b2c3d4e5f"
FOREIGN = "worker/core-02:web-1:9000"


@frozen
class Moved:
    """What the guide's commands printed, and what was registered once registrator was gone, and once both APIs were in
    use."""

    printed: list[str]
    off_registrator: dict[str, str]
    on_both: tuple[dict[str, str], dict[str, str]]


@pytest.fixture
def moved(host: Host, tmp_path: Path) -> Iterator[Moved]:
    """The guide was followed on a host with three containers, a registrator, and entries of this and an earlier
    registrator.

    The agent that the guide starts ends with the test.
    """
    host.start("web-1", "web-2", "db")
    backed = host.expected()
    host.engine.run("--name registrator worker:1")
    old = host.engine.docker("inspect", "--format", "{{.Config.Hostname}}", "registrator")
    for key, value in backed.items():
        host.etcd.put(f"{host.prefix}/{key.replace(host.owner, old)}", value)
    host.etcd.put(f"{host.prefix}/worker/{EARLIER}:web-1:9000", "192.0.2.10:1")
    host.etcd.put(f"{host.prefix}/{FOREIGN}", "192.0.2.11:1")
    shell = Child(["bash", "-c", script(host, tmp_path)], tmp_path / "log", env=environment(host))
    shell.start()
    try:
        off = at(shell, tmp_path / "off registrator", host.keys)
        both = at(shell, tmp_path / "on both", lambda: (host.keys(), keys_in_v3(host)))
        wait_until(lambda: not shell.running, 90, "the end of the guide")
        assert shell.exit_code == 0, shell.log()
        yield Moved(shell.log().splitlines(), off, both)
    finally:
        shell.kill()
        end_agent(host)


def test_the_guide_ends_with_a_clean_registry(host: Host, moved: Moved) -> None:
    """In the end, this host's containers are registered under its lasting name, keys of others are left, and nothing of
    either registrator is.

    On the way the guide shows no difference under registrator's own name, each entry to be created under the lasting
    one, and the owners. Then both of etcd's APIs are in use, and in the end only v3, with nothing left in v2 but the
    keys of others.
    """
    theirs = {FOREIGN: "192.0.2.11:1"}
    assert moved.off_registrator == host.expected() | theirs
    assert "registrator" not in host.engine.docker("ps", "--all", "--format", "{{.Names}}")
    assert [line for line in moved.printed if line.startswith("Plan:")][:3] == [
        "Plan: 0 to create, 0 to update, 0 to delete, 3 in sync, 0 refused.",
        "Plan: 3 to create, 0 to update, 0 to delete, 0 in sync, 0 refused.",
        "Plan: 0 to create, 0 to update, 0 to delete, 3 in sync, 0 refused.",
    ]
    assert EARLIER in moved.printed
    assert moved.on_both == (host.expected() | theirs, host.expected())
    assert (host.keys(), keys_in_v3(host)) == (theirs, host.expected())
    # Printed by etcdctl of either API, before and after.
    assert [moved.printed.count(f"{host.prefix}/{key}") for key in host.expected()] == [2, 2, 2]


@pytest.fixture
def left(host: Host) -> dict[str, str]:
    """wharfinger ran on a host with three containers, one of them with a SERVICE_ID, and was stopped. Then a container
    ended. This is what registrator writes at its start, if it has the owner name of the host."""
    host.start("web-1", "web-2")
    host.engine.run("--name db -P -e SERVICE_ID=db-1 worker:1")
    agent = host.agent()
    wait_until(lambda: len(host.keys()) == 3, 20, "the entries")
    agent.terminate()
    registered = host.keys()
    host.engine.docker("rm", "--force", "web-2")
    return {key: value for key, value in registered.items() if "web-2" not in key}


def test_the_way_back_leaves_what_registrator_writes_and_nothing_else(host: Host, left: dict[str, str]) -> None:
    """Under one owner name both write the same keys. The key of a container that ended in between goes, and so does
    what wharfinger wrote about itself."""
    write_as_registrator(host, left)
    assert len(host.keys()) == 3
    same_name, _, _ = GUIDE_BACK.partition("### ")
    assert run(host, same_name)[-1] == "Plan: 0 to create, 0 to update, 0 to delete, 2 in sync, 0 refused."
    assert host.keys() == left
    assert host.store.get(host.beside_record("record")) is None


def test_the_way_back_to_another_owner_name_removes_all_of_wharfingers_entries(
    host: Host, left: dict[str, str]
) -> None:
    """Among them is the one under a custom id that both write, so registrator is restarted."""
    write_as_registrator(host, {key.replace(f"{host.owner}:", f"{EARLIER}:"): value for key, value in left.items()})
    _, _, other_name = GUIDE_BACK.partition("### ")
    run(host, other_name)
    assert [*host.keys()] == [f"worker/{EARLIER}:web-1:9000"]


@pytest.mark.parametrize("host", [3], indirect=True, ids=["v3"])
def test_the_guide_moves_a_host_off_registrator_9(host: Host) -> None:
    """Its ``etcd://`` has the keys and values of registrator 7 in the v3 store, where it leaves those of each of its
    containers behind. The steps are the same with other variables, and with another command that prints the owners."""
    host.start("web-1", "web-2")
    backed = host.expected()
    host.engine.run("--name registrator worker:1")
    old = host.engine.docker("inspect", "--format", "{{.Config.Hostname}}", "registrator")
    for key, value in backed.items():
        host.store.put(f"{host.prefix}/{key.replace(host.owner, old)}", value)
    host.store.put(f"{host.prefix}/{FOREIGN}", "192.0.2.11:1")
    variables, owners = commands(host, KEYS_OF_9)
    steps = commands(host, GUIDE.partition(TO_V3)[0])
    try:
        printed = run_lines(host, [variables, *steps[1:-1], owners])
    finally:
        end_agent(host)
    assert [line for line in printed if line.startswith("Plan:")][:3] == [
        "Plan: 0 to create, 0 to update, 0 to delete, 2 in sync, 0 refused.",
        "Plan: 2 to create, 0 to update, 0 to delete, 0 in sync, 0 refused.",
        "Plan: 0 to create, 0 to update, 0 to delete, 2 in sync, 0 refused.",
    ]
    assert printed[-2:] == sorted(["core-02", host.owner])
    assert host.keys() == backed | {FOREIGN: "192.0.2.11:1"}


@pytest.mark.parametrize("host", [3], indirect=True, ids=["v3"])
def test_the_guide_moves_the_records_of_registrator_9(host: Host, tmp_path: Path) -> None:
    """A record under a custom id is taken over without a write. Those whose label has the owner of registrator are
    removed by hand, and no others."""
    host.start("web-1")
    host.engine.run("--name db -P -e SERVICE_ID=db-1 worker:1")
    web, db = (host.expected()[host.key(name)].rpartition(":") for name in ("web-1", "db"))
    host.engine.run("--name registrator worker:1")
    old = host.engine.docker("inspect", "--format", "{{.Config.Hostname}}", "registrator")
    zone = f"migrate-{os.getpid()}"
    domain, records = f"{zone}.local", f"/skydns/local/{zone}"

    def record(value: tuple[str, str, str], more: str = "") -> str:
        return f'{{"host":"{value[0]}","port":{value[2]}{more}}}'

    theirs = {f"{records}/worker/core-02-web-1-9000": record(web)}
    written = {f"{records}/worker/{old}-web-1-9000": record(web), f"{records}/worker/db-1": record(db), **theirs}
    for key, value in written.items():
        host.store.put(key, value)
    before = host.store.node(f"{records}/worker/db-1")
    section = RECORDS_OF_9.replace("cluster.local", domain).replace("/skydns/local/cluster", records)
    variables, _ = commands(host, KEYS_OF_9)
    first_pass, look, remove = (each.replace("127.0.0.1:2379", host.etcd.endpoint) for each in commands(host, section))
    run_lines(host, [variables, first_pass])
    assert host.store.node(f"{records}/worker/db-1") == before
    assert host.store.keys(records).items() > written.items()
    agent = 'wharfinger reconcile -ip "$HOST_IP" "$REGISTRY"'
    settings = first_pass.partition("\n")[0]
    printed = run_lines(host, [f"cd {tmp_path}", variables, settings, agent, f"OLD_OWNER={old}", look, remove])
    assert f"{records}/worker/{old}-web-1-9000" in printed
    ttl = ',"ttl":30'
    mine = {f"{host.owner}--web-1--9000": record(web, ttl), "db-1": record(db, ttl)}
    assert host.store.keys(records) == {f"{records}/worker/{label}": value for label, value in mine.items()} | theirs


def write_as_registrator(host: Host, entries: dict[str, str]) -> None:
    """Write entries as registrator does at its start, whether they are there or not."""
    for key, value in entries.items():
        host.store.put(f"{host.prefix}/{key}", value)


def run(host: Host, guide: str) -> list[str]:
    """Run the commands of a part of the guide, and return the lines that they printed."""
    settings = GUIDE[GUIDE.index("```sh") :].partition("## ")[0]
    return run_lines(host, [*commands(host, settings), *commands(host, guide)])


def run_lines(host: Host, blocks: list[str]) -> list[str]:
    """Run blocks of commands, and return the lines that they printed. An agent that they start is left running."""
    lines = "\n".join(["set -e", *blocks])
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(["bash", "-c", lines], env=environment(host), stdout=printed, stderr=errors, check=False)
        printed.seek(0)
        errors.seek(0)
        assert done.returncode == 0, errors.read()
        return [line for line in printed.read().splitlines() if line]


def script(host: Host, folder: Path) -> str:
    """Return the guide's commands as a script that stops at each moment that the test wants to look at."""
    first, _, second = GUIDE.partition(TO_V3)
    to_v3 = commands(host, second)
    return "\n".join(
        [
            "set -ex",
            *commands(host, first),
            f'wharfinger deregister --hostname {EARLIER} --yes --wait 5 "$REGISTRY"',
            stop_at(folder / "off registrator"),
            *to_v3[:3],
            stop_at(folder / "on both"),
            *to_v3[3:],
        ]
    )


def stop_at(moment: Path) -> str:
    """Return a command that waits until the test has looked."""
    return f"touch '{moment}'; while test -e '{moment}'; do sleep 0.05; done"


def at(shell: Child, moment: Path, look: Callable[[], T]) -> T:
    """Wait until the script has come to a moment, call `look`, let the script go on, and return what `look`
    returned."""
    wait_until(lambda: moment.exists() or not shell.running, 90, f"the guide to come to: {moment.name}")
    assert shell.running, shell.log()
    seen = look()
    moment.unlink()
    return seen


def keys_in_v3(host: Host) -> dict[str, str]:
    """Return what is registered in the v3 store, without the prefix."""
    found = EtcdV3(host.etcd.endpoint).keys(host.prefix)
    return {key.removeprefix(f"{host.prefix}/"): value for key, value in found.items()}


def commands(host: Host, guide: str) -> list[str]:
    """Return the shell blocks of a part of the guide, changed so that they can run here."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    return [waiting_for_health(block) for block in fill_in(host, blocks)]


def fill_in(host: Host, blocks: list[str]) -> list[str]:
    """Replace the guide's addresses with this host's."""
    endpoint = host.etcd.endpoint
    places = {"192.0.2.10": host.engine.address, "127.0.0.1:2379/services": f"{endpoint}{host.prefix}"}
    places["http://127.0.0.1:2379"] = f"http://{endpoint}"
    text = "\0".join(blocks)
    for guide, here in places.items():
        text = text.replace(guide, here)
    return text.split("\0")


def waiting_for_health(block: str) -> str:
    """Add a wait before a health check: the guide's reader waits a second or two by himself, a script does not."""
    wait = "for _ in $(seq 100); do wharfinger health >/dev/null 2>&1 && break; sleep 0.1; done\n"
    return wait + block if block.startswith("wharfinger health") else block


def environment(host: Host) -> dict[str, str]:
    """Return the environment for a shell with wharfinger, etcdctl and this host's engine."""
    tools = Path(sys.executable).parent
    listen = {"WHARFINGER_LISTEN": f"127.0.0.1:{free_ports(1)[0]}"}
    return clean_environment(DOCKER_HOST=host.engine.socket_url, PATH=f"{tools}:{os.environ['PATH']}") | listen


def end_agent(host: Host) -> None:
    """End the agent that the guide started in the background, by its pid."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if any(word.endswith(f"{host.etcd.endpoint}{host.prefix}") for word in words) and "deregister" not in words:
            os.kill(int(folder.name), signal.SIGTERM)
