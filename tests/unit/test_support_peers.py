"""The servers that run beside the program in tests, in the versions that people run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import peers
from tests.support.parts import PartMissing, run_to_make


def test_each_server_that_go_builds_is_pinned() -> None:
    """Its folder says which versions go in, and by which hashes they are known."""
    assert {folder.name for folder in peers.MODULES.iterdir()} == peers.PACKAGES.keys()
    for name in peers.PACKAGES:
        assert {"go.mod", "go.sum"} <= {path.name for path in (peers.MODULES / name).iterdir()}


def test_without_go_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test that needs the server is skipped with it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("WHARFINGER_CACHE", str(tmp_path))
    with pytest.raises(PartMissing, match=r"^Go is not installed, which builds etcd-3\.6$"):
        peers.etcd_of("3.6")


def test_a_command_that_fails_shows_the_end_of_its_output() -> None:
    """The end says what is wrong."""
    with pytest.raises(PartMissing, match=r"(?s)^sh -c failed: .*no space left$"):
        run_to_make(["sh", "-c", "echo begin; echo no space left >&2; exit 3"], seconds=10)


def test_a_command_that_takes_too_long_is_ended() -> None:
    """The test that waits for it is not held up for ever."""
    with pytest.raises(PartMissing, match=r"^sleep took more than 0\.1 s$"):
        run_to_make(["sleep", "60"], seconds=0.1)
