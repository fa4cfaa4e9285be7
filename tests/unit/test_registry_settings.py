"""The settings of each registry, and which registries overlap."""

from __future__ import annotations

import pytest

from controller.config.settings import parse_settings
from controller.errors import WrongUsage
from controller.registry.uri import parse_uri
from tests.unit.test_settings import DEFAULT_OPTIONS, SECRET


def problems(*uris: str) -> list[str]:
    """Return the problems with these registries."""
    with pytest.raises(WrongUsage) as wrong:
        parse_settings(DEFAULT_OPTIONS, uris)
    return wrong.value.problems


def test_a_registry_is_needed() -> None:
    """The message shows an example, and where the URI may be."""
    assert problems() == [
        "at least one registry URI is needed, as in etcd://127.0.0.1:2379/services; "
        "none was given as an argument or in WHARFINGER_REGISTRY",
    ]


def test_each_registry_has_a_label_of_its_own() -> None:
    """It is the scheme, with a number if the scheme has come before on the command line."""
    uris = ("etcd://a/x", "etcds://b/x", "etcd://c/x", "etcds://d/x", "etcd://a/y")
    registries = parse_settings(DEFAULT_OPTIONS, uris).registries
    assert [each.label for each in registries] == ["etcd", "etcds", "etcd-2", "etcds-2", "etcd-3"]
    assert tuple(each.given for each in registries) == uris
    assert [each.uri for each in registries] == list(map(parse_uri, uris))


def test_every_uri_that_makes_no_sense_is_reported() -> None:
    """All of them are reported at once, and none with a password."""
    found = problems("etcd://a/x", "consul://b/x", f"etcd://agent:{SECRET}@c/x", "etcd://d:0/x")
    assert [problem.split(": ")[0] for problem in found] == [
        "registry URI 'consul://b/x'",
        "registry URI 'etcd://***@c/x'",
        "registry URI 'etcd://d:0/x'",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("etcd://a/x", "etcd://a/x"),
        ("etcd://a/x", "etcd://a:2379/x/"),
        ("etcd://a,b/x", "etcd://b,a/x"),
        ("etcd://a,b/x", "etcd://c,b/x"),
        ("etcd://a/x", "etcds://a/x"),
        ("etcd://a", "etcd://a/"),
        ("etcd3://a/x", "etcd3s://a/x"),
        ("skydns3://a/x.y", "etcd3://a/skydns/y/x"),
        ("etcd://a/x", "etcd-legacy://a/x"),
        ("skydns3://a/x.y", "coredns://a/skydns?zone=x.y"),
    ],
)
def test_two_uris_for_the_same_place_are_refused(one: str, other: str) -> None:
    """Two URIs that have an endpoint in common mean the same store, however they are written."""
    assert problems(one, other) == [f"registry URIs {one!r} and {other!r} are the same place: give it once"]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("etcd://a/x", "etcd://a/x/y"),
        ("etcd://a", "etcd://a/x"),
        ("etcd://a,b/x", "etcd://b/x/y/z"),
        ("etcd://a", "skydns2://a/cluster.local"),
        ("skydns3://a/local", "skydns3://a/cluster.local"),
        ("etcd3+srv://a.example", "etcd3s+srv://A.example./x"),
    ],
)
def test_a_prefix_within_another_is_refused(outer: str, inner: str) -> None:
    """Passes over the outer prefix would remove what passes over the inner one write. The order does not matter."""
    expected = [f"registry URI {inner!r} lies within {outer!r}: give prefixes that do not contain each other"]
    assert problems(outer, inner) == problems(inner, outer) == expected


@pytest.mark.parametrize(
    "other",
    ["etcd://b/x", "etcd://a:1/x", "etcd://a/y", "etcd://a/xy", "etcd://b/x/y", "etcd3://a/x", "etcd+srv://a/x"],
)
def test_registries_that_do_not_overlap_are_accepted(other: str) -> None:
    """They have another server, port, prefix or version of the API: etcd v2 and v3 keep separate stores."""
    assert [each.given for each in parse_settings(DEFAULT_OPTIONS, ("etcd://a/x", other)).registries] == [
        "etcd://a/x",
        other,
    ]
