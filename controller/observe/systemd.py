"""Telling systemd whether the agent is ready and alive, by the protocol of sd_notify(3), without a library.

A native unit has ``Type=notify``. Anywhere else NOTIFY_SOCKET is not set, and nothing is sent.
"""

from __future__ import annotations

import socket
import threading

from attrs import frozen

from controller.errors import plain
from controller.observe.health import describe
from model.report import PassReport


class SystemdNotifier:
    """Tells systemd how the passes end.

    READY=1 and WATCHDOG=1 are sent whenever every loop has ended a pass since they were last sent. So systemd restarts
    an agent of which one loop hangs, whatever the others do, and not one whose passes fail.
    """

    def __init__(self, path: str, *labels: str) -> None:
        """``path`` is NOTIFY_SOCKET: a leading ``@`` means an abstract socket, and an empty path that nothing is sent.
        ``labels`` are those of the registries."""
        self._path = f"\0{path[1:]}" if path.startswith("@") else path
        self._status = dict.fromkeys(labels, "no pass has ended yet")
        self._awaited = {*labels}
        self._lock = threading.Lock()

    def of(self, label: str) -> PassNotifier:
        """Return an observer for the loop of this registry."""
        return PassNotifier(self, label)

    def pass_ended(self, label: str, report: PassReport) -> None:
        """Tell systemd that a pass over this registry has ended."""
        with self._lock:
            self._status[label] = plain(describe(report))
            self._awaited.discard(label)
            fed = "" if self._awaited else "READY=1\nWATCHDOG=1\n"
            if fed:
                self._awaited = {*self._status}
            self._send(f"{fed}STATUS={self._status_line()}")

    def stopping(self) -> None:
        """Tell systemd that the program ends."""
        self._send("STOPPING=1")

    def _status_line(self) -> str:
        if len(self._status) == 1:
            return next(iter(self._status.values()))
        return "; ".join(f"{label}: {status}" for label, status in self._status.items())

    def _send(self, message: str) -> None:
        if not self._path:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
                # The loop must not wait for a systemd that does not read.
                datagrams.setblocking(False)
                datagrams.connect(self._path)
                datagrams.send(message.encode())
        except OSError:
            return  # If the unit has WatchdogSec, systemd restarts an agent that it does not hear from.


@frozen
class PassNotifier:
    """Observes the loop of one registry for the notifier."""

    notifier: SystemdNotifier
    label: str

    def begun(self, now: float) -> None:
        """Do nothing: a pass that begins shows nothing yet."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Pass the report on, whatever its result."""
        self.notifier.pass_ended(self.label, report)
