"""The containers of one service that stands behind a proxy: nginx, which answers each request with its own name."""

from __future__ import annotations

import io
import itertools
import json
import shlex
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.proxy import TEMPORARY_FOLDERS
from tests.support.base_image import add_shell, libraries
from tests.support.engine import DockerEngine

#: The service, which has its name from the image.
SERVICE = "backend"
IMAGE = f"{SERVICE}:1"

PORT = 8080

#: nginx's configuration in a container.
CONFIGURATION = f"""\
daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ }}
http {{
{TEMPORARY_FOLDERS}\
    access_log off;
    server {{
        listen {PORT};
        location / {{
            return 200 $hostname;
        }}
    }}
}}
"""

SERVE = ("/usr/sbin/nginx", "-p", "/tmp/", "-c", "/etc/nginx.conf", "-e", "stderr")

#: A server that closes all its connections and ends as soon as it gets its stop signal.
CLOSING = SERVE

#: Seconds for which a lingering server goes on after its stop signal.
LINGER = 2

#: A server that goes on to accept connections for a while after its stop signal, and then answers what is under way.
LINGERING = (
    "sh",
    "-c",
    f"{shlex.join(SERVE)} & server=$!; trap 'sleep {LINGER}; kill -QUIT $server' TERM; wait $server; wait $server",
)

#: The flags for a container whose health is looked at.
HEALTHCHECK = ("--health-cmd", f"wget -q -O /dev/null http://127.0.0.1:{PORT}/", "--health-interval", "0.5s")

_numbers = itertools.count(1)


def build_backend(engine: DockerEngine) -> None:
    """Make the image, of this machine's nginx. Raises FileNotFoundError if there is none."""
    found = shutil.which("nginx")
    if found is None:
        raise FileNotFoundError("nginx is not installed (Debian: nginx)")
    nginx = Path(found)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        add_shell(tar)
        tar.add(nginx, SERVE[0])
        for each in libraries([nginx]):
            tar.add(each)
        file = tarfile.TarInfo("etc/nginx.conf")
        file.size = len(CONFIGURATION)
        tar.addfile(file, io.BytesIO(CONFIGURATION.encode()))
    changes = (f"EXPOSE {PORT}", f"CMD {json.dumps(SERVE)}")
    flags = [word for each in changes for word in ("--change", each)]
    engine.docker("import", *flags, "-", IMAGE, stdin=packed.getvalue(), timeout=120)


class Backends:
    """Containers of the service, which ``remove`` removes."""

    def __init__(self, engine: DockerEngine, command: Sequence[str], flags: Sequence[str] = ()) -> None:
        """``command`` is what each runs, and ``flags`` are those of ``docker run``."""
        self._engine, self._command, self._flags = engine, command, flags
        self._names: list[str] = []

    def start(self) -> str:
        """Start one more container, and return its name."""
        name = f"{SERVICE}{next(_numbers)}"
        self._names.append(name)
        self._engine.docker(
            "run", "--detach", "--name", name, "--hostname", name, "--publish-all", *self._flags, IMAGE, *self._command
        )
        return name

    def remove(self) -> None:
        """Remove the containers, whatever their state."""
        self._engine.docker("rm", "--force", "--volumes", *self._names)
