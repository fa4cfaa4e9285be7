"""The parts of one demo: engine, etcd and agent, those that are there or our own, and what is looked at in them."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from model.record import RecordKeys
from scripts.servers import NAMES, RealServers, RecordedServers, Servers
from scripts.terminal import Terminal
from tests.support.agent import PROGRAM, Agent
from tests.support.engine import Unavailable
from tests.support.etcd_server import EtcdServer, etcd_binary
from tests.support.etcd_v2 import EtcdError, EtcdV2
from tests.support.finding import find_engine

PREFIX = "/services/demo"
USUAL_ETCD = "http://127.0.0.1:2379"


class NoEngine(RuntimeError):
    """A real engine was asked for, and none can be had."""


@dataclass
class Scene:
    """What the demo plays with; `address_and_uri` is how every wharfinger command of it ends."""

    terminal: Terminal
    servers: Servers
    etcd: EtcdV2
    agent: Agent
    prefix: str
    address_and_uri: list[str]

    @property
    def environment(self) -> dict[str, str]:
        """What makes docker, etcdctl and wharfinger talk to the parts of this scene."""
        return self.servers.environment | {"ETCDCTL_API": "2", "ETCDCTL_ENDPOINTS": f"http://{self.etcd.endpoint}"}

    def keys(self, *names: str) -> dict[str, str]:
        """The keys of those containers, else of all the demo's, with their values, sorted."""
        found = self.etcd.keys(self.prefix)
        parts = [f":{name}:" for name in names or NAMES]
        return {key: found[key] for key in sorted(found) if any(part in key for part in parts)}

    def etcdctl(self, *words: str) -> None:
        """Run etcdctl and show it."""
        self.terminal.run(["etcdctl", *words], [etcd_binary("etcdctl"), *words], self.environment)

    def wharfinger(self, *words: str) -> None:
        """Run wharfinger to its end and show it."""
        words = (*words, *self.address_and_uri)
        self.terminal.run(["wharfinger", *words], [*PROGRAM, *words], self.environment)


def set_up(terminal: Terminal, engine: str, stack: ExitStack) -> Scene:
    """Find or start the parts (`engine` as on the command line); what was started is ended by `stack`."""
    servers = _servers(terminal, engine)
    stack.callback(servers.close)
    etcd, about = _etcd(stack)
    prefix = f"{PREFIX}-{os.getpid()}" if etcd.keys(PREFIX) else PREFIX
    stack.callback(_forget, etcd, prefix)
    terminal.line(f"engine  {servers.about}")
    terminal.line(f"etcd    {about}")
    folder = Path(tempfile.mkdtemp(prefix="wharfinger-demo-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    address_and_uri = ["-ip", servers.address, f"etcd://{etcd.endpoint}{prefix}"]
    agent = Agent(servers.docker_host, *address_and_uri, log_path=folder / "agent.log", env=servers.environment)
    stack.callback(agent.terminate)
    return Scene(terminal, servers, etcd, agent, prefix, address_and_uri)


def _servers(terminal: Terminal, engine: str) -> Servers:
    if engine == "recorded":
        return RecordedServers()
    found = find_engine(must_be_empty=False)
    if not isinstance(found, Unavailable):
        return RealServers(found)
    if engine == "real":
        raise NoEngine(f"no Docker engine: {found.reason}")
    terminal.problem(f"No Docker engine, so a recorded one is shown: {found.reason}")
    return RecordedServers()


def _etcd(stack: ExitStack) -> tuple[EtcdV2, str]:
    """The etcd of ETCDCTL_ENDPOINTS, else of the usual port, if its v2 API answers; else one of ours."""
    for url in os.environ.get("ETCDCTL_ENDPOINTS", USUAL_ETCD).split(","):
        parts = urlsplit(url if "//" in url else f"http://{url}")
        there = EtcdV2(parts.netloc)
        if parts.scheme == "http" and there.answers():
            return there, f"the one at {there.endpoint}"
    ours = EtcdServer()
    stack.callback(ours.close)
    return ours.start(), f"a private one, at {ours.endpoint}"


def _forget(etcd: EtcdV2, prefix: str) -> None:
    """Remove the demo's keys and owner record, which nobody else writes below: it took an unused prefix."""
    with suppress(OSError, EtcdError):
        etcd.delete(prefix, recursive=True)
        etcd.delete(RecordKeys(prefix).path, recursive=True)
