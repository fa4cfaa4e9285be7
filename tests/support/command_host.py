"""A host for tests of the commands: a recorded engine, a real etcd, and the program between them."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from pathlib import Path

from tests.support.agent import Agent, run_once
from tests.support.etcd_server import EtcdServer
from tests.support.fakes import FakeDocker, Json, inspected
from tests.support.processes import REPOSITORY, clean_environment
from tests.support.recorded_engine import RecordedEngine

OWNER = "core-07"


class Docker(RecordedEngine):
    """An engine whose containers the test sets.

    While `list_is_empty` is true, its list is empty, and while `list_is_odd` is true, nobody understands the list.
    `slow` maps the ids of containers to the seconds that an inspect of each takes.
    """

    def __init__(self) -> None:
        super().__init__([], {}, name=OWNER)
        self.documents: tuple[Json, ...] = ()
        self.list_is_empty = False
        self.list_is_odd = False
        self.slow: dict[str, float] = {}

    def listed(self, everything: bool) -> list[Json]:
        """See RecordedEngine."""
        if self.list_is_odd:
            return [{}]
        documents = () if self.list_is_empty else self.documents
        lines: list[Json] = FakeDocker(*documents).containers(all=everything)
        return lines

    def inspected(self, name: str) -> Json | None:
        """See RecordedEngine."""
        time.sleep(self.slow.get(name, 0.0))  # the engine is slow about this container
        return next((each for each in self.documents if each["Id"] == name), None)


class Host:
    """A host with an engine, and methods that run the program on it."""

    def __init__(self, folder: Path, etcd: EtcdServer) -> None:
        self.etcd = etcd
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.docker = Docker()

    def runs(self, *names: str, **ids: str) -> None:
        """Let the engine run exactly these containers. `ids` maps further containers' names to their SERVICE_ID."""
        documents: list[Json] = [inspected(name) for name in (*names, *ids)]
        for document in documents:
            if document["Id"] in ids:
                document["Config"]["Env"] = [f"SERVICE_ID={ids[document['Id']]}"]
        self.docker.documents = tuple(documents)

    def stops(self, *names: str) -> None:
        """Stop these containers. The engine still has them, but does not list them."""
        self.docker.documents = tuple(
            inspected(each["Id"], status="exited", exit_code=137) if each["Id"] in names else each
            for each in self.docker.documents
        )

    @property
    def uri(self) -> str:
        """The URI of the registry."""
        return f"{self.etcd.scheme}://{self.etcd.endpoint}/services"

    def command(self, *args: str, uri: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Run the program to its end. `uri` is that of the registry, by default of the host's own etcd."""
        return run_once(f"unix://{self.socket}", *args, uri or self.uri, env=env)

    def reconcile(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run one pass."""
        return self.command("reconcile", "-ip=10.0.0.1", *args)

    def deregister(self, *args: str, name: str = OWNER) -> subprocess.CompletedProcess[str]:
        """Run `wharfinger deregister` for a host."""
        return self.command("deregister", f"--hostname={name}", "--wait=0.5", *args)

    def agent(self, *flags: str) -> Agent:
        """Start the agent."""
        log = self.folder / "agent.log"
        args = ("-ip=10.0.0.1", "--interval=0.2", *flags, self.uri)
        return Agent(f"unix://{self.socket}", *args, log_path=log).start()

    @property
    def registered(self) -> set[str]:
        """The ids under the prefix."""
        return {key.rpartition("/")[2] for key in self.etcd.store.keys("/services")}


def on_a_terminal(argv: list[str], word: str) -> tuple[int, str]:
    """Run a program on a terminal of its own and type `word` there. Return its exit code and output."""
    ours, its = pty.openpty()
    with subprocess.Popen(argv, stdin=its, stdout=its, stderr=its, cwd=REPOSITORY, env=clean_environment()) as child:
        os.close(its)
        os.write(ours, f"{word}\n".encode())
        output = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    return child.returncode, output.decode()


def _read(terminal: int) -> bytes:
    """Read from a terminal. Once the last program on it has ended, reading raises an error, which means the end."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
