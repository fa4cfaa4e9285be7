"""Child processes that are started, frozen, killed and reaped by their pid, with their output in a file."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]

# Below Linux's range for outgoing connections (32768 and up): while a server of ours is down, nobody is given its port,
# and no client that tries to reach it can be connected to itself.
PORTS_OF_OURS = range(15000, 30000)

_children: weakref.WeakSet[Child] = weakref.WeakSet()


class Child:
    """One child process, which dies with us, however we end; started again after its end, it goes on with its log."""

    def __init__(
        self,
        argv: Sequence[str],
        log_path: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.argv = list(argv)
        self.log_path = log_path
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the running (or last) process."""
        if self._process is None:
            raise RuntimeError(f"{self.argv[0]} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended; a frozen process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last process (negative: the signal it died of); None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C reaches us, and we end our children in order."""
        if self.running:
            raise RuntimeError(f"{self.argv[0]} runs already, as pid {self.pid}")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._leash(), *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        _children.add(self)

    def _leash(self) -> list[str]:
        """The command prefix that makes the kernel end the child when we die by a signal that nobody can catch.

        The kernel goes by the thread that started the child, hence only from the one that lasts.
        """
        lasting = threading.current_thread() is threading.main_thread()
        setpriv = shutil.which("setpriv")
        return [setpriv, "--pdeathsig", "TERM"] if setpriv and lasting else []

    def stop(self, grace: float = 15.0) -> int | None:
        """End it: TERM, after `grace` seconds KILL. Returns the exit code; safe when it is not running, or frozen."""
        if self.running:
            self.signal(signal.SIGTERM)
            self.thaw()
            try:
                self._reap(grace)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.exit_code

    def kill(self) -> None:
        """End it with KILL, which also ends a frozen process; safe when it is not running."""
        if self.running:
            self.signal(signal.SIGKILL)
            self._reap(None)

    def freeze(self) -> None:
        """Let it stand still, with its sockets open (SIGSTOP); returns when all of its threads do."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: not self.running or stands_still(self.pid), 10, f"{self.argv[0]} to stand still")

    def thaw(self) -> None:
        """Let a frozen process go on (SIGCONT)."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    def log(self) -> str:
        """All that it has written so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _reap(self, timeout: float | None) -> None:
        assert self._process is not None
        self._process.wait(timeout)


@atexit.register
def _end_children() -> None:
    """The last net, for children that were started away from the main thread."""
    for child in list(_children):
        child.kill()


def is_alive(pid: int) -> bool:
    """Whether a process that need not be our child runs; one that has ended and waits to be reaped does not."""
    return _state(Path(f"/proc/{pid}")) not in {"", "Z"}


def stands_still(pid: int) -> bool:
    """Whether every thread of a process is stopped: a busy machine takes a moment to do that."""
    return all(_state(task) == "T" for task in Path(f"/proc/{pid}/task").glob("*"))


def _state(process: Path) -> str:
    """The kernel's letter for what a process or a thread does; none when it is gone."""
    try:
        # pid (command) state ...; the command may hold anything, brackets included.
        return (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def free_ports(count: int) -> list[int]:
    """So many loopback TCP ports that nobody listens on."""
    found: list[int] = []
    for port in random.sample(PORTS_OF_OURS, len(PORTS_OF_OURS)):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise RuntimeError(f"no {count} free ports in {PORTS_OF_OURS}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it: a port whose last connections are still in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def clean_environment(**extra: str) -> dict[str, str]:
    """Our environment without what would steer wharfinger or the docker command, plus `extra`."""
    steering = ("WHARFINGER_", "DOCKER_", "ETCDCTL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)} | extra
