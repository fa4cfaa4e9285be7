"""The parts that are built from the settings."""

from __future__ import annotations

import pytest

from controller.commands.build import Effects, layout_for, task_for
from controller.config.settings import parse_settings
from controller.registry.uri import parse_uri
from model.desired import Snapshot
from model.layout import Layout, PlainLayout, ValueFormat
from model.skydns import SkyDnsLayout
from tests.support.builders import container, rules
from tests.unit.test_settings import DEFAULT_OPTIONS


@pytest.mark.parametrize(
    ("uri", "layout"),
    [
        ("etcd://a/services", PlainLayout("/services", ValueFormat.JSON)),
        ("etcd3s://a", PlainLayout("", ValueFormat.JSON)),
        ("skydns2://a/cluster.local", SkyDnsLayout("/skydns/local/cluster")),
        ("skydns3s://a/cluster.local", SkyDnsLayout("/skydns/local/cluster")),
    ],
)
def test_the_scheme_of_the_uri_selects_the_layout(uri: str, layout: Layout) -> None:
    """The value format is that of --value-format, with either version of etcd's API."""
    assert layout_for(parse_uri(uri), ValueFormat.JSON) == layout


def test_unchanged_containers_are_not_decided_about_again() -> None:
    """A pass over the same containers returns the decision of the pass before."""
    uri = "skydns2://a/cluster.local"
    task = task_for(parse_settings(DEFAULT_OPTIONS, (uri,)), parse_uri(uri), Effects())
    before, after = (
        task.fitted(task.desired(Snapshot((container(publish={"80/tcp": "0.0.0.0:80"}),)), rules()), task.layout)
        for _ in range(2)
    )
    assert before is after
    assert len(before.entries) == 1
