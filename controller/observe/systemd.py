"""What systemd is told: the readiness protocol of sd_notify(3), without a library.

A native unit has ``Type=notify``; anywhere else NOTIFY_SOCKET is not set, and nobody is told anything.
"""

from __future__ import annotations

import socket
import threading

from attrs import frozen

from controller.errors import plain
from controller.observe.health import describe
from model.report import PassReport


class SystemdNotifier:
    """Tells systemd how the passes end. Once a pass over each registry has ended the agent is ready, and each time that
    this has happened again the watchdog is fed: a loop that hangs is to be killed, whatever the others do, and one that
    waits for etcd is not."""

    def __init__(self, path: str, *labels: str) -> None:
        """``path`` is NOTIFY_SOCKET; a leading ``@`` means an abstract socket; empty for nobody. ``labels`` are those
        of the registries."""
        self._path = f"\0{path[1:]}" if path.startswith("@") else path
        self._status = dict.fromkeys(labels, "no pass has ended yet")
        self._awaited = {*labels}
        self._lock = threading.Lock()

    def of(self, label: str) -> Passes:
        """An observer of the loop of this registry."""
        return Passes(self, label)

    def heard(self, label: str, report: PassReport) -> None:
        """A pass over this registry has ended."""
        with self._lock:
            self._status[label] = plain(describe(report))
            self._awaited.discard(label)
            fed = "" if self._awaited else "READY=1\nWATCHDOG=1\n"
            if fed:
                self._awaited = {*self._status}
            self._send(f"{fed}STATUS={self._said()}")

    def _said(self) -> str:
        if len(self._status) == 1:
            return next(iter(self._status.values()))
        return "; ".join(f"{label}: {status}" for label, status in self._status.items())

    def stopping(self) -> None:
        """The program has been told to end."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._path:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                # A manager that does not read must not hold up the loop.
                line.setblocking(False)
                line.connect(self._path)
                line.send(message.encode())
        except OSError:
            return  # The watchdog then says it louder than a log line could.


@frozen
class Passes:
    """Hears of the passes over one registry, for the notifier."""

    notifier: SystemdNotifier
    label: str

    def begun(self, now: float) -> None:
        """A pass that begins proves nothing yet."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Whatever it ended in."""
        self.notifier.heard(self.label, report)
