"""SERVICE_ metadata."""

from __future__ import annotations

import pytest

from model.metadata import metadata_for, split_tags


@pytest.mark.parametrize(
    ("env", "labels", "expected"),
    [
        pytest.param(["SERVICE_NAME=a"], {}, {"name": "a"}, id="env"),
        pytest.param([], {"SERVICE_NAME": "a"}, {"name": "a"}, id="label"),
        pytest.param(["SERVICE_NAME=a"], {"SERVICE_NAME": "b"}, {"name": "b"}, id="label-beats-env"),
        pytest.param(["SERVICE_NAME=a", "SERVICE_NAME=b"], {}, {"name": "b"}, id="later-env-line-wins"),
        pytest.param(["SERVICE_80_NAME=a"], {"SERVICE_NAME": "b"}, {"name": "a"}, id="port-beats-general-label"),
        pytest.param(["SERVICE_80_NAME=a", "SERVICE_NAME=b"], {}, {"name": "a"}, id="port-beats-later-general"),
        pytest.param(["SERVICE_80_NAME=a"], {"SERVICE_80_NAME": "b"}, {"name": "b"}, id="port-label-beats-port-env"),
        pytest.param(["SERVICE_443_NAME=a"], {}, {}, id="another-port's"),
        pytest.param(["SERVICE_080_NAME=a"], {}, {}, id="a-number-that-is-not-the-port's"),
        pytest.param(["SERVICE_80=a"], {}, {"80": "a"}, id="a-number-alone-is-a-key"),
        pytest.param(["SERVICE_a_b=c"], {}, {"a_b": "c"}, id="underscore-in-a-key"),
        pytest.param(["SERVICE_NaMe=a=b=c"], {}, {"name": "a=b=c"}, id="case-and-equals-signs"),
        pytest.param(["SERVICE_NAME", "PATH=/bin", "XSERVICE_NAME=a"], {}, {}, id="not-metadata"),
        pytest.param([], {"SERVICE_NAME": "a", "SERVICE_name": "b"}, {"name": "b"}, id="case-twins-in-sorted-order"),
    ],
)
def test_what_counts_for_port_80(env: list[str], labels: dict[str, str], expected: dict[str, str]) -> None:
    """registrator's precedence, row by row."""
    assert metadata_for(80, env, labels).values == expected


def test_attributes_are_what_is_left() -> None:
    """Name, id and tags have places of their own."""
    env = ["SERVICE_NAME=n", "SERVICE_ID=i", "SERVICE_TAGS=t", "SERVICE_REGION=us", "SERVICE_80_CHECK=/ping"]
    assert metadata_for(80, env, {}).attributes == {"region": "us", "check": "/ping"}


@pytest.mark.parametrize(
    ("texts", "tags"),
    [(["", ""], ()), (["a,b", "c"], ("a", "b", "c")), (["a", ""], ("a",)), (["a,,b"], ("a", "", "b"))],
)
def test_tags_are_split_at_commas(texts: list[str], tags: tuple[str, ...]) -> None:
    """As registrator does it, empty tags within a text included."""
    assert split_tags(*texts) == tags
