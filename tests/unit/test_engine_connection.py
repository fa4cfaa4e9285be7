"""Where the engine is, and what a connection to it loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from controller.source.engine_connection import SOCKETS, EngineSettings
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
