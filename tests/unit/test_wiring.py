"""The parts of the program are built so that an idle pass decides nothing anew."""

from __future__ import annotations

from controller.clock import Clock
from controller.commands.build import task_for
from controller.config.settings import parse
from controller.registry.uri import parse_uri
from model.desired import Snapshot
from tests.support.builders import container, rules
from tests.unit.test_settings import WORDS


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
