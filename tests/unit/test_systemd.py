"""The messages to systemd, sent to a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.observe.systemd import SystemdNotifier
from model.report import PassReport, PassResult
from tests.support.reports import added, failed, planned

OK = "ok: 0 of 0 entries in sync, 0 refused."

#: The value of NOTIFY_SOCKET, and the socket of the manager behind it.
Manager = tuple[str, socket.socket]


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """Listen as systemd does, on a socket in the file system and on an abstract one."""
    abstract = request.param == "abstract"
    name = f"@wharfinger-test-{tmp_path.name}-{tmp_path.parent.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name[1:]}" if abstract else name)
        listening.settimeout(5)
        yield name, listening


def received(listening: socket.socket) -> list[str]:
    """Receive one message, and return its lines."""
    return listening.recv(4096).decode().split("\n")


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (planned(added(), wanted=13, in_sync=12), "ok: 13 of 13 entries in sync, 0 refused."),
        (failed(), "registry-error: nobody answers"),
        (PassReport(PassResult.ENGINE_ERROR, problem="two\nlines\x1b"), "engine-error: two\\nlines\\x1b"),
    ],
    ids=["good", "bad", "odd"],
)
def test_each_pass_that_ends_sends_readiness_watchdog_and_status(
    manager: Manager, report: PassReport, status: str
) -> None:
    """A failed pass sends them as well, because an agent that waits for etcd is not to be killed. The status is one
    line."""
    name, listening = manager
    passes = SystemdNotifier(name, "etcd").of("etcd")
    passes.begun(0.0)
    passes.ended(report, 0.0, 1.0)
    assert received(listening) == ["READY=1", "WATCHDOG=1", f"STATUS={status}"]
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        listening.recv(1)


def test_an_agent_with_several_registries_is_ready_when_a_pass_over_each_has_ended(manager: Manager) -> None:
    """Until then only the status is sent."""
    name, listening = manager
    notifier = SystemdNotifier(name, "etcd", "etcd-2")
    for _ in range(2):
        notifier.of("etcd").ended(planned(), 0.0, 1.0)
        assert received(listening) == [f"STATUS=etcd: {OK}; etcd-2: no pass has ended yet"]
    notifier.of("etcd-2").ended(failed(), 0.0, 1.0)
    status = f"STATUS=etcd: {OK}; etcd-2: registry-error: nobody answers"
    assert received(listening) == ["READY=1", "WATCHDOG=1", status]


def test_the_watchdog_is_fed_only_when_every_loop_has_ended_another_pass(manager: Manager) -> None:
    """So a loop that hangs is noticed, however many passes the other loop makes."""
    name, listening = manager
    notifier = SystemdNotifier(name, "etcd", "etcd-2")
    fed = []
    for label in ("etcd-2", "etcd", "etcd", "etcd", "etcd-2", "etcd", "etcd", "etcd"):
        notifier.of(label).ended(planned(), 0.0, 1.0)
        fed.append("WATCHDOG=1" in received(listening))
    assert fed == [False, True, False, False, True, False, False, False]


def test_stopping_is_sent_when_the_program_ends(manager: Manager) -> None:
    """systemd learns that the program ends on purpose."""
    name, listening = manager
    SystemdNotifier(name).stopping()
    assert received(listening) == ["STOPPING=1"]


def test_nothing_is_sent_without_a_notify_socket() -> None:
    """An agent that systemd did not start works as usual."""
    SystemdNotifier("", "etcd").of("etcd").ended(planned(), 0.0, 1.0)
    SystemdNotifier("").stopping()


def test_a_socket_that_cannot_be_reached_is_ignored(tmp_path: Path) -> None:
    """The path may not exist, may be a plain file, or may be too long."""
    SystemdNotifier(str(tmp_path / "nowhere"), "etcd").of("etcd").ended(planned(), 0.0, 1.0)
    (tmp_path / "file").touch()
    SystemdNotifier(str(tmp_path / "file")).stopping()
    SystemdNotifier("x" * 500).stopping()


def test_a_manager_that_does_not_read_does_not_block_the_loop(manager: Manager) -> None:
    """When its queue is full, further messages are dropped."""
    name, listening = manager
    passes = SystemdNotifier(name, "etcd").of("etcd")
    for _ in range(2000):
        passes.ended(planned(), 0.0, 1.0)
    assert received(listening)[0] == "READY=1"
