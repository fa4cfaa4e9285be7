"""Files with certificates and keys that are renewed as operators and their tools do it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.secure_etcd import Authority

#: The contents of the files of one client, by the names that the docker command gives them.
Contents = Mapping[str, bytes]

#: Puts files into a folder, whatever is there already.
Way = Callable[[Path, Contents], None]


def issued(by: Authority, client: str = "agent@core-01.example") -> Contents:
    """Return the files of a client with a new certificate of this authority."""
    pair = by.issue(client)
    paths = {"ca.pem": by.path, "cert.pem": pair.cert, "key.pem": pair.key}
    return {name: Path(path).read_bytes() for name, path in paths.items()}


def in_place(folder: Path, contents: Contents) -> None:
    """Write over the files that are there. Their times of change are set back, as ``cp -p`` and ``rsync -t`` do."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))


def by_rename(folder: Path, contents: Contents) -> None:
    """Write each file beside the one that is there, and rename it."""
    for name, content in contents.items():
        (folder / f".{name}.new").write_bytes(content)
        os.replace(folder / f".{name}.new", folder / name)


def by_symlink(folder: Path, contents: Contents) -> None:
    """Swap a link to the folder with all files, as Kubernetes does with a mounted secret."""
    version = folder / f"..{len(list(folder.iterdir()))}"
    version.mkdir()
    for name, content in contents.items():
        (version / name).write_bytes(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    (folder / "..next").symlink_to(version.name)
    os.replace(folder / "..next", folder / "..data")


WAYS: Mapping[str, Way] = {"in place": in_place, "by rename": by_rename, "by symlink": by_symlink}
