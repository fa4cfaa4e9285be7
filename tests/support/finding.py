"""Find an engine to test on: the one that is asked for, else one that is there, else a private one, else none with the
reasons."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support.engine import DockerEngine, ExistingEngine, Unavailable
from tests.support.engines import engine_named
from tests.support.packages import CLIENT, missing_packages
from tests.support.private_engine import private_engine

USUAL_SOCKET = Path("/var/run/docker.sock")

#: The variable that names one of `ENGINES`, to run the tests on it.
CHOSEN = "WHARFINGER_TEST_ENGINE"


def find_engine(must_be_empty: bool = True) -> DockerEngine | Unavailable:
    """Start the engine that WHARFINGER_TEST_ENGINE names. Without it, return an engine that is there, else start a
    private one. If neither works, return the reasons.

    Tests need an empty engine: they remove every container and tag their images `nginx:latest`, among others. They must
    not do that to an engine that somebody uses.
    """
    if chosen := os.environ.get(CHOSEN):
        return engine_named(chosen)
    existing = existing_engine()
    if os.environ.get("PYTEST_XDIST_WORKER") and isinstance(existing, ExistingEngine):
        existing = Unavailable("several test workers cannot share the engine that is there")
    if must_be_empty and isinstance(existing, ExistingEngine) and not existing.is_empty():
        existing = Unavailable(f"the engine at {existing.socket_url} has containers or images of its own")
    if isinstance(existing, ExistingEngine):
        return existing
    private = private_engine()
    return Unavailable(f"{existing.reason}; {private.reason}") if isinstance(private, Unavailable) else private


def existing_engine() -> ExistingEngine | Unavailable:
    """Return the engine that DOCKER_HOST names, else the one at the usual socket."""
    url = os.environ.get("DOCKER_HOST") or (f"unix://{USUAL_SOCKET}" if USUAL_SOCKET.exists() else None)
    if url is None:
        return Unavailable(f"no engine is there (DOCKER_HOST is not set, {USUAL_SOCKET} does not exist)")
    if missing := missing_packages(CLIENT):
        return Unavailable(f"using the engine at {url} needs {', '.join(missing)}, not installed here")
    engine = ExistingEngine(url)
    return engine if engine.answers() else Unavailable(f"the engine at {url} does not answer")


if __name__ == "__main__":
    # The shell scripts ask with this whether there already is an engine.
    sys.exit(isinstance(existing_engine(), Unavailable))
