"""The parts that tests keep between runs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.cache import cache_folder, made_once
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of each test."""
    monkeypatch.setenv("WHARFINGER_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def test_a_part_is_made_once(folder: Path) -> None:
    """The second call finds it."""
    calls = list[Path]()

    def make(at: Path) -> None:
        calls.append(at)
        (at / "etcd").write_text("a program")

    assert made_once("etcd-3.6", make) == made_once("etcd-3.6", make) == folder / "etcd-3.6"
    assert (folder / "etcd-3.6/etcd").read_text() == "a program"
    assert len(calls) == 1


def test_a_part_that_could_not_be_made_is_tried_again(folder: Path) -> None:
    """Nothing of the first try is left."""

    def fail(at: Path) -> None:
        (at / "half").write_text("")
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        made_once("tree", fail)
    assert [each.name for each in folder.iterdir()] == ["tree.lock"]
    assert list(made_once("tree", lambda at: None).iterdir()) == []


def test_who_comes_second_waits_for_the_first(folder: Path) -> None:
    """Both get the part that the first one makes."""
    begun, go_on, found = threading.Event(), threading.Event(), list[Path]()

    def make(at: Path) -> None:
        begun.set()
        assert go_on.wait(10)

    def fail(at: Path) -> None:
        raise AssertionError("made a second time")

    first = threading.Thread(target=lambda: found.append(made_once("part", make)), daemon=True)
    second = threading.Thread(target=lambda: found.append(made_once("part", fail)), daemon=True)
    first.start()
    assert begun.wait(10)
    second.start()
    go_on.set()
    wait_until(lambda: len(found) == 2, 10, "both threads")
    assert found == [folder / "part"] * 2


def test_the_folder_follows_the_users_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own variable goes first, then that of the user's cache folder."""
    monkeypatch.delenv("WHARFINGER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/user")
    assert cache_folder() == Path("/var/cache/user/wharfinger")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder() == Path("/home/ada/.cache/wharfinger")
