"""Tests of model.engine_kind: what kind an engine is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from model.engine_kind import (
    DOCKER,
    PODMAN,
    UNKNOWN_KIND,
    are_apart,
    id_lasts,
    kind_in_headers,
    kind_in_info,
    kind_in_version,
)


@pytest.mark.parametrize(
    ("components", "kind"),
    [
        ([{"Name": "Engine"}, {"Name": "containerd"}], DOCKER),
        ([{"Name": "Podman Engine"}, {"Name": "Conmon"}, {"Name": "OCI Runtime (runc)"}], PODMAN),
        ([{"Name": "Conmon"}, {"Name": "Podman Engine"}], PODMAN),
        ([{"Name": "Something else"}], UNKNOWN_KIND),
        ([None, {}, 7], UNKNOWN_KIND),
        ([], UNKNOWN_KIND),
        (None, UNKNOWN_KIND),
        ("Engine", UNKNOWN_KIND),
    ],
)
def test_the_components_of_the_version_name_the_engine(components: Any, kind: str) -> None:
    """An engine that does not name itself there is of no known kind."""
    assert kind_in_version({"ApiVersion": "1.41", "Components": components}) == kind
    assert kind_in_version({"ApiVersion": "1.41"}) == UNKNOWN_KIND


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"server": "Docker/20.10.24 (linux)", "api-version": "1.41"}, DOCKER),
        ({"server": "Libpod/4.3.1 (linux)", "libpod-api-version": "4.3.1"}, PODMAN),
        ({"server": "nginx", "api-version": "1.41"}, UNKNOWN_KIND),
        ({}, UNKNOWN_KIND),
    ],
)
def test_the_headers_of_each_answer_name_the_engine(headers: Mapping[str, str], kind: str) -> None:
    """They help where a proxy refuses /version."""
    assert kind_in_headers(headers) == kind


def test_podmans_info_tells_that_it_is_podmans() -> None:
    """Docker's does not tell what it is."""
    assert kind_in_info({"ID": "x", "BuildahVersion": "1.28.2"}) == PODMAN
    assert kind_in_info({"ID": "x"}) == UNKNOWN_KIND


def test_only_podmans_id_does_not_last() -> None:
    """It makes up another one whenever it is asked."""
    assert [id_lasts(kind) for kind in (DOCKER, UNKNOWN_KIND, PODMAN)] == [True, True, False]


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (DOCKER, DOCKER, False),
        (DOCKER, PODMAN, True),
        (PODMAN, DOCKER, True),
        (UNKNOWN_KIND, PODMAN, False),
        (DOCKER, UNKNOWN_KIND, False),
        (UNKNOWN_KIND, UNKNOWN_KIND, False),
        ("another", DOCKER, True),
    ],
)
def test_two_known_kinds_are_two_engines(one: str, other: str, apart: bool) -> None:
    """An unknown kind may be any."""
    assert are_apart(one, other) is apart
