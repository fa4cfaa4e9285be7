"""The check that an engine with another root does not reach this machine's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.engine import DockerEngine
from tests.support.isolation import NotIsolated, check_isolation


class ScriptedEngine(DockerEngine):
    """An engine whose commands in a container print a given text."""

    def __init__(self, printed: str) -> None:
        self._printed = printed
        self.commands: list[str] = []

    @property
    def socket_url(self) -> str:
        """No socket."""
        return "unix:///nowhere"

    @property
    def address(self) -> str:
        """No address that anybody reaches."""
        return "192.0.2.1"

    def close(self) -> None:
        """Do nothing."""

    def docker(self, *args: str, stdin: bytes | None = None, timeout: float = 60.0) -> str:
        """Answer the command that is run in the container; nothing to the others."""
        self.commands.append(args[0])
        return self._printed if args[0] == "exec" else ""


@pytest.mark.parametrize("printed", ["seen", "", "something else"])
def test_an_engine_whose_exec_sees_this_machine_is_refused(printed: str, tmp_path: Path) -> None:
    """Anything but the answer that the file is not there counts as seen. The container and the image go in any case."""
    engine = ScriptedEngine(printed)
    with pytest.raises(NotIsolated, match="a command in a container"):
        check_isolation(engine, tmp_path)
    assert engine.commands == ["import", "run", "exec", "rm", "rmi"]


def test_an_engine_whose_exec_sees_nothing_of_this_machine_passes(tmp_path: Path) -> None:
    """The container and the image go."""
    engine = ScriptedEngine("unseen")
    check_isolation(engine, tmp_path)
    assert engine.commands == ["import", "run", "exec", "rm", "rmi"]


def test_an_engine_with_this_machines_root_is_refused_before_it_runs_anything(tmp_path: Path) -> None:
    """This process has that root."""
    engine = ScriptedEngine("unseen")
    with pytest.raises(NotIsolated, match=f"process {os.getpid()}"):
        check_isolation(engine, tmp_path, os.getpid())
    assert engine.commands == []
