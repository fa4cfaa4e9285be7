"""The servers beside the program, in the versions that people run.

Go builds a server out of its folder in `tests/peers/`, which pins everything that is built in. Debian's suites have the
others. All of them stay in the folder of `tests/support/cache.py`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.cache import made_once
from tests.support.debian_packages import unpack_package
from tests.support.parts import PartMissing, run_to_make
from tests.support.processes import REPOSITORY

#: A folder for each server that Go builds.
MODULES = REPOSITORY / "tests" / "peers"

#: Seconds in which a server must be built. On an idle machine it takes one to two minutes.
BUILD_SECONDS = 800

#: What Go builds of each module: a package of another module, or the one in the folder.
PACKAGES = {
    "etcd-3.6": "go.etcd.io/etcd/server/v3",
    "etcd-3.7": "go.etcd.io/etcd/server/v3",
    "coredns": ".",
    "dockerd-29": "github.com/moby/moby/v2/cmd/dockerd",
}

#: The suites of Debian in which to look for each version of etcd.
SUITES = {"3.4": ("bookworm",), "3.5": ("forky", "trixie")}


def etcd_of(version: str) -> Path:
    """Return the path of etcd 3.4, the last 3.5 that Debian has, 3.6 or 3.7. Raises PartMissing."""
    if version in SUITES:
        return made_once(f"etcd-{version}", lambda folder: _unpack_etcd(version, folder)) / "etcd"
    return _built(f"etcd-{version}") / "etcd"


def coredns() -> Path:
    """Return the path of a CoreDNS with the plugins that the tests use. Raises PartMissing."""
    return _built("coredns") / "coredns"


def dockerd() -> Path:
    """Return the path of a dockerd 29, which Debian does not have. It needs a containerd and a runc beside it. Raises
    PartMissing."""
    return _built("dockerd-29") / "dockerd"


def _built(name: str) -> Path:
    module = MODULES / name
    pinned = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(module.iterdir()))).hexdigest()
    return made_once(f"{name}-{pinned[:12]}", lambda folder: _build(module, folder))


def _build(module: Path, folder: Path) -> None:
    if shutil.which("go") is None:
        raise PartMissing(f"Go is not installed, which builds {module.name}")
    # Without cgo, no C compiler is needed, and the program runs on every Linux.
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    binary = folder / module.name.partition("-")[0]
    build = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(binary), PACKAGES[module.name]]
    run_to_make(build, seconds=BUILD_SECONDS, folder=module, environment=environment)


def _unpack_etcd(version: str, folder: Path) -> None:
    """Take etcd out of the first suite that has this version: the last suite goes on to newer ones."""
    for suite in SUITES[version]:
        with tempfile.TemporaryDirectory() as unpacked:
            unpack_package("etcd-server", suite, Path(unpacked))
            binary = Path(unpacked, "usr/bin/etcd")
            if version_of(binary).startswith(f"{version}."):
                shutil.move(binary, folder / "etcd")
                return
    raise PartMissing(f"none of Debian's suites {', '.join(SUITES[version])} has etcd {version}")


def version_of(binary: Path) -> str:
    """Return the version that an etcd says it is. Raises PartMissing if it does not run here."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise PartMissing(f"{binary} does not run here: {error}") from None
    return said.splitlines()[0].removeprefix("etcd Version: ")
