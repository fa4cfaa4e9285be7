"""Tests of the check whether several registries of one process are one place in etcd."""

from __future__ import annotations

import pytest

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.one_place import OnePlaceCheck, checked
from controller.registry.uri import parse_uri
from model.record import RecordKeys
from model.report import Result
from tests.support.builders import OWNER, create
from tests.support.fakes import FakeTime
from tests.support.memory_registry import MemoryRegistry


def check_of(*texts: str) -> OnePlaceCheck:
    """Return the check of these registries."""
    return OnePlaceCheck({text: parse_uri(text) for text in texts})


def soon() -> Deadline:
    """Return a deadline that has no influence on these tests."""
    return Deadline.after(10, FakeTime().clock)


@pytest.mark.parametrize(
    ("one", "other", "suspects"),
    [
        ("etcd://a/x", "etcd://b/x", True),
        ("etcd://a/x", "etcd://b/x/y", True),
        ("etcd://a/x/y", "etcd://b/x", True),
        ("etcd://a", "etcd://b/x", True),
        ("etcd://a/x", "etcds://b/x", True),
        ("etcd://a/x", "etcd://b/xy", False),
        ("etcd://a/x", "etcd://b/y", False),
        ("etcd://a/x", "etcd3://b/x", False),
    ],
)
def test_registries_with_keys_in_common_are_one_place_if_they_are_one_cluster(
    one: str, other: str, suspects: bool
) -> None:
    """The registry that was given first may be used. The problem of the other one names both."""
    check = check_of(one, other)
    assert check.suspects == ((one, other) if suspects else ())
    assert check.problem(one, "cluster") == ""
    problem = check.problem(other, "cluster")
    assert (one in problem and other in problem) is suspects
    assert check.problem(one, "cluster") == ""


@pytest.mark.parametrize("clusters", [("c1", "c2"), ("", ""), ("c1", "")])
def test_registries_of_other_or_unknown_clusters_are_not_one_place(clusters: tuple[str, str]) -> None:
    """The cluster of a registry that has not answered yet is not known."""
    check = check_of("etcd://a/x", "etcd://b/x")
    assert [check.problem(text, each) for text, each in zip(check.suspects, clusters, strict=True)] == ["", ""]


def test_the_later_of_two_spellings_is_not_read_once_the_earlier_one_has_answered() -> None:
    """So no pass over the later one writes. It does not matter which of them answers first."""
    texts = ("etcd://127.0.0.1/services", "etcd://localhost/services")
    check = check_of(*texts)
    first, second = (checked(MemoryRegistry(), text, check) for text in texts)
    second.read(OWNER, soon())
    first.read(OWNER, soon())
    with pytest.raises(RegistryUnavailable, match="in the same etcd cluster"):
        second.read(OWNER, soon())
    first.read(OWNER, soon())


def test_a_checked_registry_does_everything_else_as_before() -> None:
    """A checked registry reads keys, records and inner prefixes, and writes, as an unchecked one does."""
    registry = MemoryRegistry()
    registry.put(RecordKeys("/services").record("core-02"), "theirs")
    registry.put(RecordKeys("/services/x").record("core-02"), "theirs")
    found = checked(registry, "etcd://a/services", check_of("etcd://a/services"))
    assert found.read(OWNER, soon()) == registry.read(OWNER, soon())
    assert found.other_records(OWNER, soon()) == registry.other_records(OWNER, soon())
    assert found.inner_prefixes(soon()) == registry.inner_prefixes(soon()) != ()
    assert found.apply(OWNER, create("/services/a"), soon()).result is Result.APPLIED
