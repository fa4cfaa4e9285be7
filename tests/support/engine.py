"""A Docker engine to test on: one that is there, or a private one."""

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
    """No engine can be had here, with the reason in plain words."""

    reason: str


class DockerError(RuntimeError):
    """The docker command failed; the message is the command and what it printed."""


class DockerEngine(ABC):
    """A reachable engine, driven by the docker command as an operator would."""

    @property
    @abstractmethod
    def socket_url(self) -> str:
        """The value of DOCKER_HOST for it."""

    @property
    @abstractmethod
    def address(self) -> str:
        """The address at which its published ports are reached from here."""

    @abstractmethod
    def close(self) -> None:
        """Give it back: what was started for it ends, an engine that was there before stays."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command that is to talk to this engine; builds go without BuildKit, hence offline."""
        return clean_environment(DOCKER_HOST=self.socket_url, DOCKER_BUILDKIT="0")

    def docker(self, *args: str, stdin: bytes | None = None, timeout: float = 60.0) -> str:
        """Run `docker ARGS...`; returns what it printed, stripped. Raises `DockerError` when it fails or hangs."""
        argv = ["docker", *args]
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, env=self.environment, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise DockerError(f"{shlex.join(argv)}: no answer within {timeout:g} s") from None
        if done.returncode:
            raise DockerError(f"{shlex.join(argv)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode(errors="replace").strip()

    def run(self, line: str) -> str:
        """`docker run -d LINE`, where `LINE` is written as for a shell; returns the container's id."""
        return self.docker("run", "-d", *shlex.split(line))

    def replay(self, line: str) -> None:
        """One line of a parity case: `docker run -d LINE`, or with a leading `!` another docker command."""
        if line.startswith("!"):
            self.docker(*shlex.split(line.removeprefix("!")))
        else:
            self.run(line)

    def inspect(self, name: str) -> dict[str, Any]:
        """`docker inspect` of one container, image or network."""
        return dict(json.loads(self.docker("inspect", name))[0])

    def inspect_all(self) -> list[dict[str, Any]]:
        """`docker inspect` of all containers, whatever their state."""
        containers = self.containers()
        return list(json.loads(self.docker("inspect", *containers))) if containers else []

    def containers(self) -> list[str]:
        """The ids of all containers, whatever their state."""
        return self.docker("ps", "--all", "--quiet", "--no-trunc").split()

    def remove_all(self) -> None:
        """Remove every container and every network that a user made; images stay. Only for an engine that is ours."""
        if containers := self.containers():
            self.docker("rm", "--force", "--volumes", *containers)
        self.docker("network", "prune", "--force")

    def answers(self) -> bool:
        """Whether the engine answers at all."""
        try:
            self.docker("version", timeout=5)
        except DockerError:
            return False
        return True


class ExistingEngine(DockerEngine):
    """An engine that was there before us, at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def socket_url(self) -> str:
        """As it was given."""
        return self._url

    @property
    def address(self) -> str:
        """The engine's host; for an engine on this machine, the address of this machine's default route."""
        parts = urlsplit(self._url)
        return parts.hostname or _own_address() if parts.scheme == "tcp" else _own_address()

    @property
    def environment(self) -> dict[str, str]:
        """With the user's TLS settings, which belong to the user's engine."""
        return super().environment | {name: os.environ[name] for name in ENGINE_VARIABLES if name in os.environ}

    def close(self) -> None:
        """Nothing: it is not ours."""

    def is_empty(self) -> bool:
        """Whether it has neither containers nor images."""
        return not self.containers() and not self.docker("images", "--all", "--quiet")


def _own_address() -> str:
    """The address that this machine would send from; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
