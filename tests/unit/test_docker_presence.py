"""Tests of what the Docker engine says of a container that it is asked for by id or name, with a fake client."""

from __future__ import annotations

import threading

import pytest

from controller.effects.background import Background, Threads
from controller.effects.clock import Clock, Deadline
from controller.source.docker import Asking, Engine
from model.snapshot import Presence
from tests.support.fakes import FakeDocker, Inline, Json, inspected, refusal
from tests.support.waiting import wait_until


class Asked:
    """An engine whose list has been read, and that a test asks for the presence of containers. ``errors`` counts what
    failed."""

    def __init__(self, *documents: Json, background: Background | None = None) -> None:
        self.docker = FakeDocker(*documents)
        self.errors = 0
        asking = Asking(background or Inline(), Clock())
        self.engine = Engine(self.docker.dial, asking, stopped_too=False, on_error=self._count_error)
        self.engine.read(self.deadline())
        self.docker.asked.clear()

    def _count_error(self) -> None:
        self.errors += 1

    def deadline(self, seconds: float = 10.0) -> Deadline:
        """Return a deadline this many seconds from now."""
        return Deadline.after(seconds, Clock())

    def presence(self, *containers: str) -> list[str]:
        """Return what the engine says of each container, in order."""
        found = self.engine.presence(containers, self.deadline())
        assert list(found) == list(containers)
        return [each.value for each in found.values()]


@pytest.mark.parametrize(
    ("status", "presence"),
    [
        ("running", Presence.RUNNING),
        ("paused", Presence.RUNNING),
        ("restarting", Presence.STOPPED),
        ("exited", Presence.STOPPED),
        ("created", Presence.STOPPED),
        ("removing", Presence.STOPPED),
        ("dead", Presence.STOPPED),
    ],
)
def test_a_container_that_is_there_runs_or_not(status: str, presence: Presence) -> None:
    """A container runs in those states in which it would have entries."""
    assert Asked(inspected("web", status=status)).presence("web") == [presence.value]


def test_a_container_is_found_by_its_name() -> None:
    """The name stands in the engine's answer with a slash before it."""
    asked = Asked()
    asked.docker.documents["web"] = {**inspected("0123"), "Name": "/web"}
    assert asked.presence("web") == ["running"]


def test_a_container_whose_id_begins_like_the_name_is_another_one() -> None:
    """The engine takes the beginning of an id for the whole id, as on its command line. So it may answer for another
    container than the one of that name."""
    asked = Asked()
    asked.docker.documents["cafe"] = {**inspected("cafe0123"), "Name": "/web"}
    assert asked.presence("cafe") == ["absent"]


@pytest.mark.parametrize("name", ["..", "a b", "a/b", "", "-v", "a?b", "ä", "web\n"])
def test_what_no_container_can_be_called_is_absent(name: str) -> None:
    """Such a name is in a key that somebody else wrote. The engine is not asked for it, as the name could make another
    request."""
    asked = Asked()
    assert asked.presence(name) == ["absent"]
    assert asked.docker.asked == []


def test_no_such_container_is_absent_and_no_error() -> None:
    """The engine has answered that it does not have the container, so nothing failed."""
    asked = Asked()
    assert (asked.presence("web"), asked.errors) == (["absent"], 0)


@pytest.mark.parametrize(
    "error",
    [TimeoutError(), refusal(500, "it is locked"), refusal(403, "forbidden"), OSError("broken")],
    ids=repr,
)
def test_a_container_without_an_answer_is_unknown(error: Exception) -> None:
    """The failure is counted as an error, and the other containers are asked for all the same."""
    asked = Asked(inspected("db"))
    asked.docker.errors["inspect web"] = error
    assert (asked.presence("web", "db"), asked.errors) == (["unknown", "running"], 1)


@pytest.mark.parametrize("document", [None, [], {"Id": "web"}, {**inspected("web"), "State": {}}], ids=repr)
def test_an_answer_that_cannot_be_understood_is_none(document: object) -> None:
    """Such an answer makes the container unknown. A state that is missing is not taken for stopped."""
    asked = Asked()
    asked.docker.documents["web"] = document  # type: ignore[assignment] # what an engine should not answer
    assert asked.presence("web") == ["unknown"]


def test_only_id_name_and_state_need_be_as_documented() -> None:
    """So a container that could not be described while it ran can still be seen to have stopped."""
    asked = Asked()
    asked.docker.documents["web"] = {"Id": "web", "Name": "/web", "State": {"Status": "exited"}}
    assert asked.presence("web") == ["stopped"]
    asked.docker.documents["cafe"] = {"Id": "cafe", "Name": None, "State": {"Status": "dead"}}
    assert asked.presence("cafe") == ["stopped"]


def test_a_container_whose_inspect_hangs_holds_up_no_other_and_is_known_later() -> None:
    """The container is unknown until its answer comes. The next call uses the late answer."""
    asked = Asked(inspected("db", status="exited"), inspected("web"), background=Threads())
    answers, quick = threading.Event(), asked.docker.inspect_container

    def inspect(container: str) -> object:
        if container == "web":
            answers.wait(60)
        return quick(container)

    asked.docker.inspect_container = inspect  # type: ignore[method-assign] # one that hangs
    assert asked.presence("web", "db") == ["unknown", "stopped"]
    assert asked.presence("web", "db") == ["unknown", "stopped"]
    answers.set()
    wait_until(lambda: asked.presence("web") == ["running"])
