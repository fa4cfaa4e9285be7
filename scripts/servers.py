"""The demo's three web servers: in containers of a real engine, or in the answers of a recorded engine."""

from __future__ import annotations

import shutil
import threading
import urllib.request
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from pathlib import Path

from scripts.terminal import Terminal
from tests.support.engine import DockerEngine, DockerError, ExistingEngine
from tests.support.images import WEB, build
from tests.support.processes import clean_environment
from tests.support.recorded_engine import RecordedEngineServer, load
from tests.support.scratch import scratch_folder
from tests.support.waiting import wait_until

IMAGE = "wharfinger-demo/web"
NAMES = tuple(f"demo-{number}" for number in (1, 2, 3))
PORTS = (80, 8080)
RECORDING = Path(__file__).with_name("recorded-engine.json")

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Servers(ABC):
    """Three web servers with two published ports each. Each can be stopped."""

    #: A description of the engine, for people.
    about: str
    #: The URL of the engine, as in DOCKER_HOST.
    docker_host: str
    #: The address at which the published ports are to be registered.
    address: str
    #: The environment of commands that talk to the engine.
    environment: dict[str, str]

    @abstractmethod
    def start(self, terminal: Terminal) -> None:
        """Start the servers, and print how."""

    @abstractmethod
    def stop_one(self, terminal: Terminal, name: str) -> None:
        """Stop one server, and print how."""

    @abstractmethod
    def visit(self, terminal: Terminal, addresses: dict[str, str]) -> None:
        """Fetch a page from each registered address (key -> `ip:port`), and print it."""

    @abstractmethod
    def close(self) -> None:
        """Remove what `start()` made, and end the engine if the demo started it."""


class RealServers(Servers):
    """Servers in containers of a real engine. Nothing of them stays on the user's engine."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine
        existing = isinstance(engine, ExistingEngine)
        self.about = (
            f"the one at {engine.socket_url}" if existing else "a private one, in a network namespace of its own"
        )
        self.docker_host = engine.socket_url
        self.address = engine.address
        self.environment = engine.environment

    def start(self, terminal: Terminal) -> None:
        """Build the image and run three containers of it. Remove those that an earlier demo left behind first."""
        self._remove_containers()
        build(self._engine, IMAGE, WEB)
        for name in NAMES:
            self._docker(terminal, "run", "-d", "--name", name, "--hostname", name, "-P", IMAGE)

    def stop_one(self, terminal: Terminal, name: str) -> None:
        """Stop it with `docker stop`."""
        self._docker(terminal, "stop", name)

    def visit(self, terminal: Terminal, addresses: dict[str, str]) -> None:
        """GET from each address, and wait up to 10 seconds for a server that has only just started."""
        for address in addresses.values():
            url = f"http://{address}/"
            answer = wait_until(partial(_page, url), 10, f"an answer from {url}")
            terminal.line(f"GET {url:28} {answer}")

    def close(self) -> None:
        """Remove the containers and the image, then close the engine."""
        self._remove_containers()
        with suppress(DockerError):
            self._engine.docker("rmi", IMAGE)
        self._engine.close()

    def _docker(self, terminal: Terminal, *args: str) -> None:
        terminal.run(["docker", *args], ["docker", *args], self.environment)

    def _remove_containers(self) -> None:
        """Remove the containers of the demo's image, whose tag nobody else uses. Others may have a name like theirs."""
        with suppress(DockerError):
            for container in self._engine.docker("ps", "--all", "--quiet", "--filter", f"ancestor={IMAGE}").split():
                self._engine.docker("rm", "--force", container)


class RecordedServers(Servers):
    """Servers that ran once: the recorded JSON answers of a real engine, with no server at the addresses."""

    about = "a recorded one: the answers of a real one, without containers"
    address = "192.0.2.10"  # reserved for documentation (RFC 5737)

    def __init__(self) -> None:
        self._folder = scratch_folder("recorded")
        self._engine = load(RECORDING)
        self._server = RecordedEngineServer(self._folder / "docker.sock", self._engine)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.docker_host = f"unix://{self._folder}/docker.sock"
        self.environment = clean_environment(DOCKER_HOST=self.docker_host)

    def start(self, terminal: Terminal) -> None:
        """Print the recorded containers and their ports."""
        for name in NAMES:
            inspected = self._engine.inspected(name) or {}
            bindings = inspected["NetworkSettings"]["Ports"]
            ports = ", ".join(f"{bindings[f'{port}/tcp'][0]['HostPort']} -> {port}" for port in PORTS)
            terminal.line(f"{name}  {ports}")

    def stop_one(self, terminal: Terminal, name: str) -> None:
        """Make the recorded engine report the container as stopped from now on."""
        self._engine.stop(name)
        terminal.line(f"{name} is stopped")

    def visit(self, terminal: Terminal, addresses: dict[str, str]) -> None:
        """Print the addresses only, because nothing answers there."""
        for key, address in addresses.items():
            terminal.line(f"{key:60} {address}")

    def close(self) -> None:
        """Stop the recorded engine and remove its socket."""
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _page(url: str) -> str:
    """Return the page at this URL, or an empty string if nothing answers."""
    try:
        with _opener.open(url, timeout=2) as response:
            return str(response.read().decode().strip())
    except OSError:
        return ""
