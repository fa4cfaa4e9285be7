"""Where the engine is, and what a connection to it loads."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from controller.source.engine_connection import SOCKETS, EngineSettings, SocketChoice
from tests.support.fakes import FakeDocker, inspected
from tests.support.recorded_engine import RecordedEngine, serving


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("unix:///run/engine.sock", "/run/engine.sock"),
        (" unix:///run/engine.sock ", "/run/engine.sock"),
        ("UNIX:///run/engine.sock", "/run/engine.sock"),
        ("http+unix:///run/engine.sock", "/run/engine.sock"),
        ("unix://", SOCKETS[0]),
        ("tcp://engine:2375", ""),
        ("https://engine:2376", ""),
        ("engine:2375", ""),
        ("gopher://engine", ""),
    ],
)
def test_a_url_may_name_a_unix_socket(url: str, path: str) -> None:
    """The forms are those that the docker SDK takes."""
    assert EngineSettings(url).socket == path


def make_socket(path: Path) -> None:
    """Make a socket at this path."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def test_dockers_places_come_before_podmans() -> None:
    """A host with both engines was registered by its Docker engine so far."""
    assert SOCKETS[-1] == "/run/podman/podman.sock"
    assert SOCKETS[0] == "/var/run/docker.sock"


def test_the_socket_is_chosen_when_the_first_one_is_there_and_never_again(tmp_path: Path) -> None:
    """While none is there, none is chosen. A file that is no socket is none. The chosen one stays, whether another one
    appears in a place that comes first, or whether it goes itself."""
    first, second = tmp_path / "first.sock", tmp_path / "second.sock"
    settings = EngineSettings(sockets=SocketChoice([str(first), str(second)]))
    first.write_text("no socket")
    assert settings.socket == str(first)
    make_socket(second)
    assert settings.url == f"unix://{second}"
    first.unlink()
    make_socket(first)
    assert settings.socket == str(second)
    second.unlink()
    assert settings.socket == str(second)


def test_all_connections_of_a_process_share_the_choice(tmp_path: Path) -> None:
    """The settings of the engine are made in several places of the program."""
    first, second = tmp_path / "first.sock", tmp_path / "second.sock"
    choice = SocketChoice([str(first), str(second)])
    make_socket(second)
    assert EngineSettings(sockets=choice).socket == str(second)
    make_socket(first)
    assert EngineSettings(sockets=choice).socket == str(second)


#: Reads the containers of the engine at the URL in its argument, and prints which libraries that loaded.
READ = """
import sys
from controller.effects.background import Threads
from controller.effects.clock import Clock, Deadline
from controller.source.docker import Asking, Engine
from controller.source.engine_connection import EngineSettings, connect
engine = Engine(lambda: connect(EngineSettings(sys.argv[1])), Asking(Threads(), Clock()), stopped_too=False)
print(engine.identity().name, *[each.name for each in engine.read(Deadline.after(10, Clock())).containers])
print(*[each for each in ("docker", "requests", "urllib3") if each in sys.modules])
"""


def test_an_engine_at_a_unix_socket_is_read_without_the_libraries_for_others(tmp_path: Path) -> None:
    """Loading the docker SDK would put off the first pass."""
    document = inspected("web")
    state = RecordedEngine([FakeDocker(document).containers(all=True)[0]], {"web": document}, name="core-07")
    with serving(state, tmp_path / "engine.sock") as path:
        done = subprocess.run(
            [sys.executable, "-c", READ, f"unix://{path}"], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.stdout, done.stderr) == ("core-07 web\n\n", "")
