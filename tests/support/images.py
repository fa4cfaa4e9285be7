"""Images for tests and the demo, built `FROM scratch` on Debian's static busybox, without network or download."""

from __future__ import annotations

import io
import shutil
import struct
import tarfile
from pathlib import Path

from tests.support.engine import DockerEngine

APPLETS = ("cat", "echo", "hostname", "httpd", "kill", "ls", "nc", "sh", "sleep", "wget")
ELF_PROGRAM_INTERPRETER = 3

# The stop signal is KILL: a first process without a handler ignores TERM, so every `docker stop` would take 10 s.
PREAMBLE = """\
FROM scratch
COPY rootfs /
STOPSIGNAL SIGKILL
"""
IDLE = 'CMD ["sleep", "1000000"]\n'

# Each port serves a page that names the container by its hostname.
SERVE = """\
CMD ["sh", "-c", "for port in 80 8080; do echo hello from $(hostname), port $port > /www/$port/index.html; done; \
httpd -p 8080 -h /www/8080; exec httpd -f -p 80 -h /www/80"]
"""
WEB = f"EXPOSE 80 8080\n{SERVE}"

# A server that goes on to answer after the signal that stops it, says that it got the signal, and ends when there is
# something in /end. HUP does not end it.
PATIENT = """\
STOPSIGNAL SIGTERM
EXPOSE 9000
ENV SERVICE_NAME=worker
CMD ["sh", "-c", "stop() { echo stopping > /www/80/index.html; until test -s /end; do sleep 0.02; done; exit; }; \
trap : HUP; trap stop TERM QUIT; echo serving > /www/80/index.html; httpd -p 9000 -h /www/80; \
while :; do sleep 1000000 & wait $!; done"]
"""

SLOW_TO_END = {"patient:1": PATIENT}

# The images whose containers end at once when they are stopped.
TEST_IMAGES = {
    "nginx:latest": f"EXPOSE 80 443\n{IDLE}",
    "registry.local:5000/team/foobar:1.2": f"EXPOSE 8080\n{IDLE}",
    "progrium/redis:latest": f"EXPOSE 6379\n{IDLE}",
    "dns:1": f"EXPOSE 53/tcp 53/udp\n{IDLE}",
    "noports:1": IDLE,
    "worker:1": f"EXPOSE 9000\n{IDLE}",
    "annotated:2": (
        f"EXPOSE 80 443\nENV SERVICE_80_NAME=fromimage SERVICE_REGION=eu\nLABEL SERVICE_443_NAME=labelimage\n{IDLE}"
    ),
    "web:latest": WEB,
}


def build_test_images(engine: DockerEngine) -> None:
    """Build every image that the tests run, under the names that the parity cases use."""
    for tag, rest in (TEST_IMAGES | SLOW_TO_END).items():
        build(engine, tag, rest)


def remove_test_images(engine: DockerEngine) -> None:
    """Remove the test images. The next run needs an engine that is not the tests' own to be empty again."""
    engine.docker("rmi", "--force", *TEST_IMAGES, *SLOW_TO_END)


def build(engine: DockerEngine, tag: str, rest: str) -> None:
    """Build one image: busybox, plus the Dockerfile lines in `rest`."""
    engine.build(tag, _context(PREAMBLE + rest))


def static_busybox() -> Path:
    """Return this machine's busybox. Raises FileNotFoundError if none runs without shared libraries."""
    found = shutil.which("busybox")
    if found is None or not _is_static(Path(found)):
        raise FileNotFoundError("no statically linked busybox is installed (Debian: busybox-static)")
    return Path(found)


def _is_static(binary: Path) -> bool:
    """Return whether a 64-bit ELF file names no dynamic linker (interpreter) in its program headers."""
    data = binary.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return False
    order = "<" if data[5] == 1 else ">"
    (offset,) = struct.unpack_from(f"{order}Q", data, 32)
    size, count = struct.unpack_from(f"{order}HH", data, 54)
    kinds = [struct.unpack_from(f"{order}I", data, offset + index * size)[0] for index in range(count)]
    return ELF_PROGRAM_INTERPRETER not in kinds


def _context(dockerfile: str) -> bytes:
    """Return a build context as a tar file: the Dockerfile, busybox, a link for each command, and folders to serve."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        _add(tar, "Dockerfile", dockerfile.encode())
        _add(tar, "rootfs/bin/busybox", static_busybox().read_bytes(), mode=0o755)
        for applet in APPLETS:
            link = tarfile.TarInfo(f"rootfs/bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for folder in ("www/80", "www/8080", "tmp"):
            entry = tarfile.TarInfo(f"rootfs/{folder}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    return packed.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))
