"""Take packages out of any suite of Debian, without installing them. apt verifies them by Debian's own keys."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.parts import PartMissing, run_to_make

#: The keys of all suites, in the package debian-archive-keyring.
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

#: apt's state in a folder of its own.
_CONFIGURATION = """
Dir::State::lists "{folder}/lists"; Dir::State::status "{folder}/status"; Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources"; Dir::Etc::sourceparts "{null}"; Dir::Etc::preferencesparts "{null}";
Acquire::Languages "none"; Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false"; APT::Sandbox::User "root";
"""


def unpack_package(package: str, suite: str, into: Path) -> None:
    """Unpack the package that a suite of Debian has now into a folder. Raises PartMissing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"APT_CONFIG": str(_own_state(folder, suite)), "LC_ALL": "C"}
        _apt_get(folder, environment, "update")
        _apt_get(folder, environment, "download", package)
        [archive] = folder.glob("*.deb")
        run_to_make(["dpkg-deb", "--extract", str(archive), str(into)], seconds=60)


def mirror() -> str:
    """Return the mirror of this machine's own Debian. Raises PartMissing if it has none."""
    if shutil.which("apt-get") is None or not KEYRING.exists():
        raise PartMissing("packages of Debian can be had on Debian alone")
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    sites = dict(line.split(maxsplit=1) for line in reversed(targets.stdout.splitlines()))
    if (site := sites.get(_codename())) is None:
        raise PartMissing(f"apt has no mirror of {_codename()}")
    return site


def _codename() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    return shlex.split(said.get("VERSION_CODENAME", "unknown"))[0]


def _own_state(folder: Path, suite: str) -> Path:
    """Return the path of a configuration with which apt knows this suite alone, and installs nothing."""
    for each in ("lists/partial", "cache/archives/partial"):
        (folder / each).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    configuration = folder / "apt.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, null=os.devnull))
    return configuration


def _apt_get(folder: Path, environment: Mapping[str, str], *words: str) -> None:
    run_to_make(["apt-get", "--quiet", *words], seconds=300, folder=folder, environment=environment)
