"""Recorded answers of Docker engines that were read wrong once, one engine a file in tests/cases/."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.recorded_engine import RecordedEngine, RecordedEngineServer, load

FOLDER = Path(__file__).parent.parent / "cases"

#: The names of all recordings: their files' names without ``.json``.
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def recorded(name: str) -> RecordedEngine:
    """Return the engine of the recording with this name."""
    return load(FOLDER / f"{name}.json")


@contextmanager
def serving(engine: RecordedEngine, folder: Path) -> Iterator[str]:
    """Serve a recorded engine at a socket in ``folder``, and yield its URL in the form of DOCKER_HOST."""
    socket = folder / "docker.sock"
    with RecordedEngineServer(socket, engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"unix://{socket}"
        finally:
            server.shutdown()
            thread.join()
