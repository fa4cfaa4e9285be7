"""Do what fleet and systemd do with a unit file, as far as the shipped units use it. Neither is available to tests.

This reads units and runs their lines as systemd does, and places units on hosts as fleet does. A line or setting that
it does not understand is an error, never ignored.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.private_engine import PrivateEngine
from tests.support.processes import Child

# The settings that are read below, and those that make no difference to one start and stop.
UNDERSTOOD = {
    "Unit": {"Description", "After"},
    "Service": {
        "EnvironmentFile",
        "ExecStart",
        "ExecStartPre",
        "ExecStop",
        "Restart",
        "RestartSec",
        "TimeoutStartSec",
    },
    "X-Fleet": {"Conflicts", "Global"},
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


class UnitFailed(RuntimeError):
    """A line of a unit failed that must not fail. The message has the line and what it printed."""


@dataclass(frozen=True)
class Unit:
    """A unit file under the name that it is started by: `nginx@1.service` is instance `1` of `nginx@.service`."""

    name: str
    settings: tuple[tuple[str, str, str], ...]

    @classmethod
    def load(cls, folder: Path, name: str) -> Unit:
        """Read a unit file; for an instance, the file of its template."""
        file = folder / re.sub(r"@[^.]*", "@", name)
        return cls(name, tuple(_read(file.read_text())))

    def values(self, section: str, key: str) -> list[str]:
        """Return the values of one setting, in the order of the file."""
        return [value for *where, value in self.settings if where == [section, key]]

    @property
    def everywhere(self) -> bool:
        """Whether fleet starts the unit on every host."""
        return self.values("X-Fleet", "Global") == ["true"]

    def conflicts_with(self, other: Unit) -> bool:
        """Return whether the two must not share a host, by what either of them says."""
        pairs = ((self, other), (other, self))
        return any(fnmatch.fnmatch(b.name, glob) for a, b in pairs for glob in a.values("X-Fleet", "Conflicts"))

    def specified(self, text: str, hostname: str) -> str:
        """Replace systemd's specifiers in a text."""
        stem, _, instance = self.name.removesuffix(".service").partition("@")
        known = {"%i": instance, "%n": self.name, "%p": stem, "%H": hostname, "%%": "%"}
        return re.sub("%.", lambda found: known[found[0]], text)


@dataclass
class FleetHost:
    """A machine of the fleet: an engine, a name, and the files that units read."""

    name: str
    engine: PrivateEngine
    address: str
    folder: Path
    running: dict[str, RunningUnit] = field(default_factory=dict)

    @property
    def files(self) -> Mapping[str, str]:
        """The files that CoreOS writes at boot, by path."""
        return {"/etc/environment": f"COREOS_PRIVATE_IPV4={self.address}\nCOREOS_PUBLIC_IPV4={self.address}\n"}

    def takes(self, unit: Unit) -> bool:
        """Return whether nothing that runs here conflicts with the unit."""
        return unit.name not in self.running and not any(
            unit.conflicts_with(other.unit) for other in self.running.values()
        )


class RunningUnit:
    """A unit on a host. Its commands run in the host's namespaces, with the bare environment that systemd gives
    them."""

    def __init__(self, unit: Unit, host: FleetHost) -> None:
        self.unit = unit
        self.host = host
        #: The lines that failed, where a leading dash permits that.
        self.tolerated: list[str] = []
        self._environment = dict(_environment(unit, host.files))
        self._main: Child | None = None

    @property
    def active(self) -> bool:
        """Whether its main process runs."""
        return self._main is not None and self._main.running

    def start(self) -> RunningUnit:
        """Run the ExecStartPre lines, one after the other, then start the main process."""
        for line in self.unit.values("Service", "ExecStartPre"):
            self._run(line)
        (line,) = self.unit.values("Service", "ExecStart")
        log = self.host.folder / f"{self.unit.name}.log"
        self._main = Child(self._command(line), log, env=self._environment)
        self._main.start()
        return self

    def stop(self) -> None:
        """Run the ExecStop lines, and whatever they do, end the main process if it still runs."""
        try:
            for line in self.unit.values("Service", "ExecStop"):
                self._run(line)
        finally:
            if self._main is not None:
                self._main.stop()

    def kill(self) -> None:
        """Kill the main process without the ExecStop lines, which fleet never does."""
        if self._main is not None:
            self._main.kill()

    def _run(self, line: str) -> None:
        """Run one line to its end. If it fails and does not begin with a dash, raise UnitFailed."""
        done = subprocess.run(
            self._command(line.removeprefix("-")), env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            if not line.startswith("-"):
                raise UnitFailed(f"{self.unit.name} on {self.host.name}: {line}: {done.stderr.strip()}")
            self.tolerated.append(line)

    def _command(self, line: str) -> list[str]:
        words = shlex.split(self.unit.specified(line, self.host.name))
        program, *arguments = [part for word in words for part in expanded(word, self._environment)]
        if not program.startswith("/"):
            raise UnitFailed(f"systemd needs an absolute path as the program: {line}")
        there = program if Path(program).exists() else shutil.which(Path(program).name) or program
        return self.host.engine.run_in_namespace([there, *arguments])


class Fleet:
    """What `fleetctl` does, for the units in a folder."""

    def __init__(self, folder: Path, hosts: Iterable[FleetHost]) -> None:
        self._folder = folder
        self.hosts = list(hosts)

    def start(self, *names: str, order: Iterable[FleetHost] = ()) -> list[RunningUnit]:
        """Start units, each on the first host that takes it, or on all hosts; `order` is the order of preference."""
        return [started for name in names for started in self._start(name, list(order) or self.hosts)]

    def stop(self, *names: str) -> None:
        """Stop units on every host where they run, and forget them."""
        for name in names:
            for host in self.hosts:
                if name in host.running:
                    host.running.pop(name).stop()

    def clear(self) -> None:
        """Forget every unit and remove every container, at the end of a test."""
        for host in self.hosts:
            while host.running:
                host.running.popitem()[1].kill()
            host.engine.remove_all()

    def _start(self, name: str, order: list[FleetHost]) -> list[RunningUnit]:
        unit = Unit.load(self._folder, name)
        free = [host for host in order if host.takes(unit)]
        if not free:
            raise UnitFailed(f"no host takes {name}")
        return [self._start_on(unit, host) for host in (free if unit.everywhere else free[:1])]

    def _start_on(self, unit: Unit, host: FleetHost) -> RunningUnit:
        host.running[unit.name] = RunningUnit(unit, host)
        return host.running[unit.name].start()


def _read(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield section, key and value of every setting. A backslash at a line's end continues it, and counts as a
    space."""
    section = ""
    for line in map(str.strip, re.sub(r"\\\n", " ", text).splitlines()):
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            key, _, value = (part.strip() for part in line.partition("="))
            if key not in UNDERSTOOD.get(section, ()):
                raise UnitFailed(f"this test support does not know the setting [{section}] {key}")
            yield section, key, value


def _environment(unit: Unit, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that the unit's processes get. systemd starts from a nearly empty environment."""
    yield "PATH", f"{PATH}:{os.environ['PATH']}"
    for name in unit.values("Service", "EnvironmentFile"):
        text = files[name] if not name.startswith("-") else files.get(name[1:], "")
        for line in text.splitlines():
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith(("#", ";")):
                yield key, "".join(shlex.split(value))


def expanded(word: str, environment: Mapping[str, str]) -> list[str]:
    """Replace variables as systemd does: a word `$NAME` becomes any number of words, `${NAME}` a part of one word."""
    if found := re.fullmatch(r"\$([A-Za-z_]\w*)", word):
        return environment.get(found[1], "").split()
    return [re.sub(r"\$\$|\$\{(\w+)\}", lambda each: environment.get(each[1], "") if each[1] else "$", word)]
