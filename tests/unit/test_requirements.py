"""The dependencies of setup.cfg, and the lock of which the image is made."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement

from scripts.requirements import LOCK, ROOT, allowed, locked, oldest


@pytest.mark.parametrize(
    ("wanted", "release"),
    [
        ("attrs>=23.2", "attrs==23.2"),
        ("urllib3>=2.0.7,!=2.6.0,<3", "urllib3==2.0.7"),
        ("python-etcd==0.4.5", "python-etcd==0.4.5"),
        ("click~=8.1", "click==8.1"),
    ],
)
def test_the_oldest_release_is_the_lowest_that_the_range_allows(wanted: str, release: str) -> None:
    """Releases that are left out of the range do not matter."""
    assert str(oldest(Requirement(wanted))) == release


@pytest.mark.parametrize("wanted", ["attrs", "attrs<24"])
def test_a_dependency_without_an_oldest_release_is_an_error(wanted: str) -> None:
    """Nobody could say with what the program works."""
    with pytest.raises(ValueError, match="does not say which release of attrs is the oldest"):
        oldest(Requirement(wanted))


def test_each_dependency_has_an_oldest_release_that_it_allows() -> None:
    """The environment `oldest` of tox installs them."""
    assert len(allowed()) > 5
    for each in allowed():
        (floor,) = oldest(each).specifier
        assert each.specifier.contains(floor.version), each


def test_the_lock_has_a_release_that_is_allowed_of_each_dependency() -> None:
    """`scripts/lock` writes it anew when setup.cfg changes."""
    versions = locked(LOCK.read_text())
    assert [str(each) for each in allowed() if not each.specifier.contains(versions.get(each.name, "0"))] == []


def test_each_locked_release_has_the_hashes_of_its_files() -> None:
    """pip refuses a file that has none of them. The lock names no index: whoever builds the image chooses one."""
    text = LOCK.read_text()
    parts = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert len(parts) == len(locked(text)) > len(allowed())
    assert [part for part in parts if not re.search(r"^ +--hash=sha256:[0-9a-f]{64}", part, re.MULTILINE)] == []
    assert "://" not in text


def test_the_image_is_built_from_the_lock() -> None:
    """Where a package index is used, pip checks the hash of each dependency."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes -r requirements.lock" in dockerfile.partition("\nRUN ")[2]
    assert {"!requirements.lock", "!scripts/sbom.py"} <= set((ROOT / ".dockerignore").read_text().splitlines())
