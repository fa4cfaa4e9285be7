"""Build wharfinger's image on a base image that is made of this machine's Python, as tests cannot pull one.

The base image stands in for `python:3.x-slim`. It has `python` on PATH, its standard library without bytecode, and a
`/bin/sh` with the usual commands (Debian's static busybox).
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from tests.support.engine import DockerEngine
from tests.support.images import static_busybox
from tests.support.processes import REPOSITORY

BASE = "python:of-this-machine"
IMAGE = "wharfinger/wharfinger:of-this-tree"

# The official images leave these out, too, and the static library, which only a linker needs.
LEFT_OUT = {"__pycache__", "dist-packages", "idlelib", "site-packages", "test", "tests", "tkinter", "turtledemo"}
# Libraries that a compiled wheel may expect on every system, as the `manylinux` standard promises.
MANYLINUX_LIBRARIES = ("dl.so.2", "gcc_s.so.1", "m.so.6", "pthread.so.0", "rt.so.1", "stdc++.so.6", "util.so.1")
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


# The commands that this needs beside an engine's packages, each with its Debian package.
NEEDED = {"git": "git", "ldd": "libc-bin"}


class NoWheels(RuntimeError):
    """pip cannot get the wheels that the image is built of. The message is pip's."""


def build_image(engine: DockerEngine) -> None:
    """Build the base image, and on it `IMAGE` from this tree and from wheels, as an operator without a package index
    does."""
    with tempfile.TemporaryDirectory(prefix="wharfinger-context-") as folder:
        context = Path(folder)
        copy_tree(context)
        make_wheels(context)
        import_base(engine)
        engine.docker("build", "--build-arg", f"PYTHON_IMAGE={BASE}", "--tag", IMAGE, folder, timeout=180)


def copy_tree(to: Path) -> None:
    """Copy every file of this tree that git tracks or would add, uncommitted changes included."""
    argv = ["git", "-c", f"safe.directory={REPOSITORY}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        source, target = REPOSITORY / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())


def make_wheels(tree: Path) -> None:
    """Fill `wheels/` in a copy of the tree with the Dockerfile's commands. Raises NoWheels if pip fails."""
    for wanted in (["--require-hashes", "-r", "requirements.lock"], ["setuptools>=70.1"]):
        argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        argv += ["wheel", "--wheel-dir", "wheels", *wanted]
        done = subprocess.run(argv, cwd=tree, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoWheels((done.stderr.strip() or "pip printed no error").splitlines()[-1])


def import_base(engine: DockerEngine) -> None:
    """Import the image `BASE` into the engine."""
    path = f"PATH={_python().parent}:/usr/local/bin:/usr/bin:/bin"
    with tempfile.TemporaryFile() as packed:
        _pack(packed)
        packed.seek(0)
        engine.docker("import", "--change", f"ENV {path}", "-", BASE, stdin=packed.read(), timeout=120)


def _python() -> Path:
    """Return the path of the Python that this virtual environment was made from, with links resolved."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def _pack(to: IO[bytes]) -> None:
    stdlib, extensions = Path(os.__file__).parent, Path(sysconfig.get_config_var("DESTSHARED"))
    python = _python()
    with tarfile.open(fileobj=to, mode="w", dereference=True) as tar:
        tar.add(stdlib, filter=_slim)
        for folder in filter(None, (extensions, sysconfig.get_config_var("WHEEL_PKG_DIR"))):
            if not Path(folder).is_relative_to(stdlib):
                tar.add(folder, filter=_slim)
        for file in [python, *libraries([python, *extensions.glob("*.so")])]:
            tar.add(file)
        for name in {"python", "python3"} - {python.name}:
            _link(tar, python.with_name(name), python.name)
        add_shell(tar)


def _slim(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(entry.name).name
    return None if name in LEFT_OUT or re.match(r"config-\d", name) else entry


def libraries(binaries: Iterable[Path]) -> list[Path]:
    """Return the shared libraries that `ldd` finds for these binaries, the dynamic linker included."""
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    needed = {Path(found) for found in re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x", told, re.MULTILINE)}
    beside = {
        library.with_name(f"lib{name}")
        for library in needed
        if library.name == "libc.so.6"
        for name in MANYLINUX_LIBRARIES
    }
    return sorted(needed | {library for library in beside if library.exists()})


def add_shell(tar: tarfile.TarFile) -> None:
    """Add a shell with the usual commands, a folder for temporary files, and the accounts."""
    busybox = static_busybox()
    tar.add(busybox, "bin/busybox")
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            _link(tar, Path("/bin") / applet, "busybox")
    folder = tarfile.TarInfo("tmp")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
    tar.addfile(folder)
    for name, text in ACCOUNTS.items():
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))


def _link(tar: tarfile.TarFile, path: Path, target: str) -> None:
    entry = tarfile.TarInfo(str(path).lstrip("/"))
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)
