"""Check that an engine with another root than this machine's cannot reach this machine's files by its containers.

An engine whose root was changed in the wrong way runs `docker exec` and health checks outside of their container.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from tests.support.engine import DockerEngine
from tests.support.images import static_busybox
from tests.support.scratch import shims_of

#: A file of this machine, which is in no tree and in no container.
MARKER = Path(__file__).resolve()

_IMAGE = "wharfinger/isolation:1"
_CONTAINER = "isolation"


class NotIsolated(RuntimeError):
    """The engine reaches files of this machine."""


def check_isolation(engine: DockerEngine, folder: Path, *pids: int) -> None:
    """Run a container and a command in it. Raises NotIsolated if the command sees a file of this machine, or if the
    engine's processes `pids` or its shims do, which have a path below `folder` on their command line."""
    _check_roots(*pids)
    engine.docker("import", "-", _IMAGE, stdin=_busybox())
    try:
        engine.run(f"--name {_CONTAINER} --stop-signal KILL {_IMAGE} /busybox sleep 1000000")
        _check_roots(*shims_of(folder))
        test = f"if test -e {MARKER}; then echo seen; else echo unseen; fi"
        seen = engine.docker("exec", _CONTAINER, "/busybox", "sh", "-c", test)
        if seen != "unseen":
            raise NotIsolated(f"a command in a container of this engine sees this machine's {MARKER}")
    finally:
        engine.docker("rm", "--force", _CONTAINER)
        engine.docker("rmi", _IMAGE)


def _check_roots(*pids: int) -> None:
    for pid in pids:
        if Path(f"/proc/{pid}/root{MARKER}").exists():
            raise NotIsolated(f"the engine's process {pid} sees this machine's {MARKER}")


def _busybox() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(static_busybox(), "busybox")
    return packed.getvalue()
