"""Tests of model.container_lookup: which container of a host a text means, and which names are similar to it."""

from __future__ import annotations

import pytest

from model.container import ContainerRef
from model.container_lookup import meant, similar_names

CONTAINERS = [
    ContainerRef("abc1", "web"),
    ContainerRef("abd2", "db"),
    ContainerRef("abd3", "abd"),
    ContainerRef("f00d", "shop-web-1"),
    ContainerRef("f0", ""),
]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("web", ["web"], id="name"),
        pytest.param("abc1", ["web"], id="id"),
        pytest.param("abc", ["web"], id="beginning-of-an-id"),
        pytest.param("abd", ["abd"], id="a-name-goes-before-an-id"),
        pytest.param("ab", ["abd", "db", "web"], id="several"),
        pytest.param("f0", [""], id="an-id-goes-before-its-beginning"),
        pytest.param("we", [], id="no-beginning-of-a-name"),
        pytest.param("", [], id="empty"),
    ],
)
def test_a_text_means_the_container_with_that_name_or_id(text: str, names: list[str]) -> None:
    """The beginning of an id means all containers whose ids begin so, unless a container has that name."""
    assert [each.name for each in meant(text, [*CONTAINERS, *CONTAINERS])] == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("wbe", ["web"], id="mistyped"),
        pytest.param("we", ["web", "shop-web-1"], id="a-part"),
        pytest.param("zzz", [], id="none"),
        pytest.param("", [], id="empty"),
    ],
)
def test_similar_names_are_told(text: str, names: list[str]) -> None:
    """A mistyped name is similar, and so is one that holds the text."""
    assert similar_names(text, CONTAINERS) == tuple(names)
