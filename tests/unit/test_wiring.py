"""Settings to parts: which layout, and that an idle pass decides nothing anew."""

from __future__ import annotations

import pytest

from controller.clock import Clock
from controller.commands.build import task_for
from controller.config.settings import parse
from controller.registry.factory import layout_for
from controller.registry.uri import parse_uri
from model.desired import Snapshot
from model.layout import Layout, PlainLayout, ValueFormat
from model.skydns import SkyDnsLayout
from tests.support.builders import container, rules
from tests.unit.test_settings import WORDS


@pytest.mark.parametrize(
    ("uri", "layout"),
    [
        ("etcd://a/services", PlainLayout("/services", ValueFormat.JSON)),
        ("etcd3s://a", PlainLayout("", ValueFormat.JSON)),
        ("skydns2://a/cluster.local", SkyDnsLayout("/skydns/local/cluster")),
        ("skydns3s://a/cluster.local", SkyDnsLayout("/skydns/local/cluster")),
    ],
)
def test_the_scheme_says_which_layout(uri: str, layout: Layout) -> None:
    """And the flag how plain values look, whatever the API."""
    assert layout_for(parse_uri(uri), ValueFormat.JSON) == layout


def test_the_same_containers_are_decided_about_once() -> None:
    """An idle pass asks the same again, and gets the same answer."""
    uri = "skydns2://a/cluster.local"
    task = task_for(parse(WORDS, (uri,)), parse_uri(uri), Clock())
    before, after = (
        task.fitted(task.desired(Snapshot((container(publish={"80/tcp": "0.0.0.0:80"}),)), rules()), task.layout)
        for _ in range(2)
    )
    assert before is after
    assert len(before.entries) == 1
