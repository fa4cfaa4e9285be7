"""What systemd is told, over a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.observe.systemd import SystemdNotifier
from model.report import PassReport, PassResult
from tests.support.reports import added, failed, planned


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """systemd's end, and what it says in NOTIFY_SOCKET."""
    abstract = request.param == "abstract"
    name = f"@wharfinger-test-{tmp_path.name}-{tmp_path.parent.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(f"\0{name[1:]}" if abstract else name)
        line.settimeout(5)
        yield name, line


def heard(line: socket.socket) -> list[str]:
    """One message, by its lines."""
    return line.recv(4096).decode().split("\n")


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (planned(added(), in_sync=12), "ok: Plan: 1 to create, 0 to update, 0 to delete, 12 in sync, 0 refused."),
        (failed(), "registry-error: nobody answers"),
        (PassReport(PassResult.ENGINE_ERROR, problem="two\nlines\x1b"), "engine-error: two\\nlines\\x1b"),
    ],
    ids=["good", "bad", "odd"],
)
def test_each_pass_that_ends_is_told(manager: tuple[str, socket.socket], report: PassReport, status: str) -> None:
    """Ready, alive, and what it ended in, on one line: waiting for etcd is no reason to be killed."""
    name, line = manager
    passes = SystemdNotifier(name, "etcd").of("etcd")
    passes.begun(0.0)
    passes.ended(report, 0.0, 1.0)
    assert heard(line) == ["READY=1", "WATCHDOG=1", f"STATUS={status}"]
    line.setblocking(False)
    with pytest.raises(BlockingIOError):
        line.recv(1)


OK = "ok: Plan: 0 to create, 0 to update, 0 to delete, 0 in sync, 0 refused."


def test_several_registries_are_ready_when_each_has_had_a_pass(manager: tuple[str, socket.socket]) -> None:
    """One that never has leaves the program unready, whatever the other does; what is known is said meanwhile."""
    notifier = SystemdNotifier(manager[0], "etcd", "etcd-2")
    for _ in range(2):
        notifier.of("etcd").ended(planned(), 0.0, 1.0)
        assert heard(manager[1]) == [f"STATUS=etcd: {OK}; etcd-2: no pass has ended yet"]
    notifier.of("etcd-2").ended(failed(), 0.0, 1.0)
    status = f"STATUS=etcd: {OK}; etcd-2: registry-error: nobody answers"
    assert heard(manager[1]) == ["READY=1", "WATCHDOG=1", status]


def test_a_loop_that_hangs_is_not_hidden_by_its_neighbour(manager: tuple[str, socket.socket]) -> None:
    """The watchdog is fed each time that every loop has ended a pass, and not by one that ends many."""
    notifier = SystemdNotifier(manager[0], "etcd", "etcd-2")
    fed = []
    for label in ("etcd-2", "etcd", "etcd", "etcd", "etcd-2", "etcd", "etcd", "etcd"):
        notifier.of(label).ended(planned(), 0.0, 1.0)
        fed.append("WATCHDOG=1" in heard(manager[1]))
    assert fed == [False, True, False, False, True, False, False, False]


def test_the_end_is_told(manager: tuple[str, socket.socket]) -> None:
    """So that systemd knows that it was asked for."""
    name, line = manager
    SystemdNotifier(name).stopping()
    assert heard(line) == ["STOPPING=1"]


def test_without_a_manager_nobody_is_told() -> None:
    """Not under systemd."""
    SystemdNotifier("", "etcd").of("etcd").ended(planned(), 0.0, 1.0)
    SystemdNotifier("").stopping()


def test_a_manager_that_is_gone_is_no_matter(tmp_path: Path) -> None:
    """Nor one whose socket is none."""
    SystemdNotifier(str(tmp_path / "nowhere"), "etcd").of("etcd").ended(planned(), 0.0, 1.0)
    (tmp_path / "file").touch()
    SystemdNotifier(str(tmp_path / "file")).stopping()
    SystemdNotifier("x" * 500).stopping()


def test_a_manager_that_does_not_read_holds_nothing_up(manager: tuple[str, socket.socket]) -> None:
    """Its queue is full: what does not fit is not said."""
    passes = SystemdNotifier(manager[0], "etcd").of("etcd")
    for _ in range(2000):
        passes.ended(planned(), 0.0, 1.0)
    assert heard(manager[1])[0] == "READY=1"
