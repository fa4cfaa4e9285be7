"""docs/migrate.md, followed word for word on a host where registrator has been."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.host import Host
from tests.support.processes import REPOSITORY, Child, clean_environment, free_ports
from tests.support.waiting import wait_until

GUIDE = (REPOSITORY / "docs" / "migrate.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)

EARLIER = "0a1b2c3d4e5f"
FOREIGN = "worker/core-02:web-1:9000"


@pytest.fixture
def moved(host: Host, tmp_path: Path) -> Iterator[str]:
    """What the guide's commands printed, on a host with three containers, a registrator, and entries that this and an
    earlier registrator wrote. The agent that the guide starts ends with the test."""
    host.start("web-1", "web-2", "db")
    backed = host.expected()
    host.engine.run("--name registrator worker:1")
    old = host.engine.docker("inspect", "--format", "{{.Config.Hostname}}", "registrator")
    for key, value in backed.items():
        host.etcd.put(f"{host.prefix}/{key.replace(host.owner, old)}", value)
    host.etcd.put(f"{host.prefix}/worker/{EARLIER}:web-1:9000", "192.0.2.10:1")
    host.etcd.put(f"{host.prefix}/{FOREIGN}", "192.0.2.11:1")
    script = "set -ex\n" + "".join(map(waiting_for_health, fill_in(host, BLOCKS))) + "\n"
    script += f'wharfinger deregister --hostname {EARLIER} --yes "$REGISTRY"\n'
    shell = Child(["bash", "-c", script], tmp_path / "log", env=environment(host))
    shell.start()
    try:
        wait_until(lambda: not shell.running, 90, "the end of the guide")
        assert shell.exit_code == 0, shell.log()
        yield shell.log()
    finally:
        end_agent(host)


def test_the_guide_ends_with_a_clean_registry(host: Host, moved: str) -> None:
    """What this host runs under its lasting name, what others wrote, and nothing of either registrator. On the way it
    shows no difference under registrator's own name, each entry to be created under the lasting one, and the owners."""
    assert host.keys() == host.expected() | {FOREIGN: "192.0.2.11:1"}
    assert "registrator" not in host.engine.docker("ps", "--all", "--format", "{{.Names}}")
    plans = [line for line in moved.splitlines() if line.startswith("Plan:")]
    assert plans[:3] == [
        "Plan: 0 to create, 0 to update, 0 to delete, 3 in sync, 0 refused.",
        "Plan: 3 to create, 0 to update, 0 to delete, 0 in sync, 0 refused.",
        "Plan: 0 to create, 0 to update, 0 to delete, 3 in sync, 0 refused.",
    ]
    assert EARLIER in moved.splitlines()


def fill_in(host: Host, blocks: list[str]) -> list[str]:
    """The guide's commands with this host's addresses in the place of the guide's."""
    endpoint = host.etcd.endpoint
    places = {"192.0.2.10": host.engine.address, "127.0.0.1:2379/services": f"{endpoint}{host.prefix}"}
    places["http://127.0.0.1:2379"] = f"http://{endpoint}"
    text = "\0".join(blocks)
    for guide, here in places.items():
        text = text.replace(guide, here)
    return text.split("\0")


def waiting_for_health(block: str) -> str:
    """The guide's reader waits a second or two; a script has to be told."""
    wait = "for _ in $(seq 100); do wharfinger health >/dev/null 2>&1 && break; sleep 0.1; done\n"
    return wait + block if block.startswith("wharfinger health") else block


def environment(host: Host) -> dict[str, str]:
    """A shell with wharfinger, etcdctl and this host's engine."""
    tools = Path(sys.executable).parent
    listen = {"WHARFINGER_LISTEN": f"127.0.0.1:{free_ports(1)[0]}"}
    return clean_environment(DOCKER_HOST=host.engine.socket_url, PATH=f"{tools}:{os.environ['PATH']}") | listen


def end_agent(host: Host) -> None:
    """End the agent that the guide has started in the background, by its pid."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if host.uri in words and "deregister" not in words:
            os.kill(int(folder.name), signal.SIGTERM)
