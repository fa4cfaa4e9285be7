"""The dependencies of setup.cfg, and the lock of which the image is made."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from scripts.requirements import allowed, oldest


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
