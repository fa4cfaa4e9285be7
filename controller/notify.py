"""What systemd is told: the readiness protocol of sd_notify(3), without a library.

A native unit has ``Type=notify``; anywhere else NOTIFY_SOCKET is not set, and nobody is told anything.
"""

from __future__ import annotations

import socket

from controller.errors import plain
from controller.health import describe
from model.report import PassReport


class Notifier:
    """An observer of the loop that tells systemd. Each pass that ends feeds the watchdog, whatever it ended in: a loop
    that hangs is to be killed, one that waits for etcd is not."""

    def __init__(self, path: str) -> None:
        """``path`` is NOTIFY_SOCKET; a leading ``@`` means an abstract socket; empty for nobody."""
        self._path = f"\0{path[1:]}" if path.startswith("@") else path

    def begun(self, now: float) -> None:
        """A pass that begins proves nothing yet."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Ready with the first pass that ended."""
        self._send(f"READY=1\nWATCHDOG=1\nSTATUS={plain(describe(report))}")

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
