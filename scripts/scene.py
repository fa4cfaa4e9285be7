"""The parts of a demo: engine, etcd (each either found or started) and agent, and the commands that show them."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from model.record import RecordKeys
from scripts.servers import NAMES, RealServers, RecordedServers, Servers
from scripts.terminal import Terminal
from tests.support.agent import PROGRAM, Agent
from tests.support.engine import Unavailable
from tests.support.etcd_server import EtcdServer, etcd_binary
from tests.support.etcd_v2 import EtcdError, EtcdV2
from tests.support.finding import find_engine
from tests.support.scratch import scratch_folder

PREFIX = "/services/demo"
#: The owner of the demo's entries. It is short, so that a table of them fits into 80 columns.
OWNER = "core"
USUAL_ETCD = "http://127.0.0.1:2379"


class NoEngine(RuntimeError):
    """Raised if a real engine was asked for and none can be used."""


@dataclass
class Scene:
    """The parts of a running demo."""

    terminal: Terminal
    servers: Servers
    etcd: EtcdV2
    agent: Agent
    prefix: str

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables with which wharfinger uses the parts of this scene."""
        return _settings(self.servers, self.etcd, self.prefix) | {"WHARFINGER_LISTEN": self.agent.listen}

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which docker, etcdctl and wharfinger use the parts of this scene."""
        etcdctl = {"ETCDCTL_API": "2", "ETCDCTL_ENDPOINTS": f"http://{self.etcd.endpoint}"}
        return self.servers.environment | etcdctl | self.settings

    def keys(self, *names: str) -> dict[str, str]:
        """Return the keys of these containers (by default of all the demo's containers) with their values, sorted."""
        found = self.etcd.keys(self.prefix)
        parts = [f":{name}:" for name in names or NAMES]
        return {key: found[key] for key in sorted(found) if any(part in key for part in parts)}

    def etcdctl(self, *words: str) -> None:
        """Print an etcdctl command and run it."""
        self.terminal.run(["etcdctl", *words], [etcd_binary("etcdctl"), *words], self.environment)

    def wharfinger(self, *words: str) -> None:
        """Print a wharfinger command, run it, and wait for its end."""
        self.terminal.run(["wharfinger", *words], [*PROGRAM, *words], self.environment)


def set_up(terminal: Terminal, engine: str, stack: ExitStack) -> Scene:
    """Find or start the parts. `engine` is the value of `--engine`. `stack` ends what was started.

    Raises NoEngine if a real engine was asked for and none can be used.
    """
    servers = _servers(terminal, engine)
    stack.callback(servers.close)
    etcd, about = _etcd(stack)
    prefix = f"{PREFIX}-{os.getpid()}" if etcd.keys(PREFIX) else PREFIX
    stack.callback(_forget, etcd, prefix)
    terminal.line(f"engine  {servers.about}")
    terminal.line(f"etcd    {about}")
    folder = scratch_folder("demo")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    environment = servers.environment | _settings(servers, etcd, prefix)
    agent = Agent(servers.docker_host, log_path=folder / "agent.log", env=environment)
    stack.callback(agent.terminate)
    return Scene(terminal, servers, etcd, agent, prefix)


def _settings(servers: Servers, etcd: EtcdV2, prefix: str) -> dict[str, str]:
    """Return the environment variables that tell wharfinger where to register what, and as whom."""
    return {
        "WHARFINGER_REGISTRY": f"etcd://{etcd.endpoint}{prefix}",
        "WHARFINGER_IP": servers.address,
        "WHARFINGER_HOSTNAME": OWNER,
    }


def _servers(terminal: Terminal, engine: str) -> Servers:
    if engine == "recorded":
        return RecordedServers()
    found = find_engine(must_be_empty=False)
    if not isinstance(found, Unavailable):
        return RealServers(found)
    if engine == "real":
        raise NoEngine(f"No Docker engine can be used: {found.reason}")
    terminal.problem(f"No Docker engine can be used, so the demo uses a recorded one: {found.reason}")
    return RecordedServers()


def _etcd(stack: ExitStack) -> tuple[EtcdV2, str]:
    """Return an etcd and a text that describes it. It is the etcd of ETCDCTL_ENDPOINTS (default: the usual port) if its
    v2 API answers, else a new one that `stack` ends."""
    for url in os.environ.get("ETCDCTL_ENDPOINTS", USUAL_ETCD).split(","):
        parts = urlsplit(url if "//" in url else f"http://{url}")
        there = EtcdV2(parts.netloc)
        if parts.scheme == "http" and there.answers():
            return there, f"the one at {there.endpoint}"
    ours = EtcdServer()
    stack.callback(ours.close)
    return ours.start(), f"a private one, at {ours.endpoint}"


def _forget(etcd: EtcdV2, prefix: str) -> None:
    """Remove the demo's keys and owner record. Nobody else has keys there, because the prefix was unused."""
    with suppress(OSError, EtcdError):
        etcd.delete(prefix, recursive=True)
        etcd.delete(RecordKeys(prefix).path, recursive=True)
