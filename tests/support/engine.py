"""A Docker engine for tests: one that already runs on this machine, or a private one."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.processes import clean_environment

ENGINE_VARIABLES = ("DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_CONFIG")


@dataclass(frozen=True)
class Unavailable:
    """There is no engine to test on, for this reason."""

    reason: str


class DockerError(RuntimeError):
    """The engine's client failed. The message has the command and what it printed."""


class DockerEngine(ABC):
    """An engine that answers. Tests drive it with its own client, as an operator would."""

    #: The network on which a container is by default.
    default_network = "bridge"
    #: The field in which the client's `info` shows the name that the engine has for its host.
    name_format = "{{.Name}}"

    @property
    @abstractmethod
    def socket_url(self) -> str:
        """The value of DOCKER_HOST for this engine."""

    @property
    @abstractmethod
    def address(self) -> str:
        """The address at which the tests reach its published ports."""

    @abstractmethod
    def close(self) -> None:
        """Release it. An engine that the tests started ends; an engine that was there before stays."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment for commands that talk to this engine. Builds avoid BuildKit, so they need no network."""
        return clean_environment(DOCKER_HOST=self.socket_url, DOCKER_BUILDKIT="0")

    @property
    def client(self) -> list[str]:
        """The command of the engine's own client."""
        return ["docker"]

    @property
    def hostname(self) -> str:
        """The name that the engine has for its host."""
        return self.docker("info", "--format", self.name_format)

    def docker(self, *args: str, stdin: bytes | None = None, timeout: float = 60.0) -> str:
        """Run `docker ARGS...` and return its stripped output. Raises `DockerError` if it fails or hangs."""
        argv, shown = [*self.client, *args], shlex.join(["docker", *args])
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, env=self.environment, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise DockerError(f"{shown}: no answer within {timeout:g} s") from None
        if done.returncode:
            raise DockerError(f"{shown}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode(errors="replace").strip()

    def build(self, tag: str, context: bytes) -> None:
        """Build an image from a context that is a tar file."""
        self.docker("build", "--tag", tag, "-", stdin=context, timeout=120)

    def run(self, line: str) -> str:
        """Run `docker run -d LINE` and return the container's id. `LINE` is quoted as for a shell."""
        return self.docker("run", "-d", *shlex.split(line))

    def replay(self, line: str) -> None:
        """Run one line of a parity case: `docker run -d LINE`, or another docker command after a `!`."""
        if line.startswith("!"):
            self.docker(*shlex.split(line.removeprefix("!")))
        else:
            self.run(line)

    def inspect(self, name: str) -> dict[str, Any]:
        """Return `docker inspect` of one container, image or network."""
        return dict(json.loads(self.docker("inspect", name))[0])

    def inspect_all(self) -> list[dict[str, Any]]:
        """Return `docker inspect` of all containers in any state."""
        containers = self.containers()
        return list(json.loads(self.docker("inspect", *containers))) if containers else []

    def containers(self) -> list[str]:
        """Return the ids of all containers in any state."""
        return self.docker("ps", "--all", "--quiet", "--no-trunc").split()

    def remove_all(self) -> None:
        """Remove every container and every user-made network. Images stay. Call it only on an engine of the tests'
        own."""
        if containers := self.containers():
            self.docker("rm", "--force", "--volumes", *containers)
        self.docker("network", "prune", "--force")

    def answers(self) -> bool:
        """Return whether the engine answers."""
        try:
            self.docker("version", timeout=5)
        except DockerError:
            return False
        return True


class ExistingEngine(DockerEngine):
    """An engine that was there before the tests, at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def socket_url(self) -> str:
        """The URL that was given."""
        return self._url

    @property
    def address(self) -> str:
        """The engine's host; if the engine is on this machine, the address of this machine's default route."""
        parts = urlsplit(self._url)
        return parts.hostname or _own_address() if parts.scheme == "tcp" else _own_address()

    @property
    def environment(self) -> dict[str, str]:
        """The environment, with the user's TLS settings, as the engine is the user's."""
        return super().environment | {name: os.environ[name] for name in ENGINE_VARIABLES if name in os.environ}

    def close(self) -> None:
        """Do nothing: the engine is not the tests'."""

    def is_empty(self) -> bool:
        """Return whether it has neither containers nor images."""
        return not self.containers() and not self.docker("images", "--all", "--quiet")


def _own_address() -> str:
    """Return the address that this machine sends from. Connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
