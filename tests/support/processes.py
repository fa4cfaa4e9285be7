"""Child processes that tests start, freeze, kill and reap by their pid, with their output in a file."""

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

# Below Linux's range for outgoing connections (32768 and up). So the system gives nobody the port of a test server that
# is down, and no client that tries to reach such a server can be connected to itself.
SERVER_PORTS = range(15000, 30000)

_children: weakref.WeakSet[Child] = weakref.WeakSet()


class Child:
    """A child process that ends when the tests end, whatever ends them.

    It can be started again after its end, and then appends to the same log.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log_path: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: int | None = None,
        stderr: int = subprocess.STDOUT,
    ) -> None:
        """`stdout` and `stderr` are the open files to which the process writes its standard output and error; by
        default the log file, and what `stdout` is."""
        self.argv = list(argv)
        self.log_path = log_path
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._stdout = stdout
        self._stderr = stderr
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the running or last process. Raises RuntimeError if there was none."""
        if self._process is None:
            raise RuntimeError(f"{self.argv[0]} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended. A frozen process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last process; negative if a signal ended it; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches only the tests, which end their children in
        order."""
        if self.running:
            raise RuntimeError(f"{self.argv[0]} runs already, as pid {self.pid}")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._leash(), *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log if self._stdout is None else self._stdout,
                stderr=self._stderr,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        _children.add(self)

    def _leash(self) -> list[str]:
        """Return a command prefix with which the kernel ends the child if a signal kills the tests.

        The kernel does so when the thread that started the child ends, so only the main thread, which lasts, may use
        it.
        """
        lasting = threading.current_thread() is threading.main_thread()
        setpriv = shutil.which("setpriv")
        return [setpriv, "--pdeathsig", "TERM"] if setpriv and lasting else []

    def stop(self, grace: float = 15.0) -> int | None:
        """Send SIGTERM, and SIGKILL after `grace` seconds; return the exit code. Also works on an ended or frozen
        process."""
        if self.running:
            self.signal(signal.SIGTERM)
            self.thaw()
            try:
                self._reap(grace)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.exit_code

    def kill(self) -> None:
        """Send SIGKILL, which also ends a frozen process. Does nothing if it is not running."""
        if self.running:
            self.signal(signal.SIGKILL)
            self._reap(None)

    def freeze(self) -> None:
        """Stop it with SIGSTOP, its sockets open. Returns when all its threads are stopped."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: not self.running or stands_still(self.pid), 10, f"{self.argv[0]} to stand still")

    def thaw(self) -> None:
        """Let a frozen process go on (SIGCONT)."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal. Does nothing if it has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    def log(self) -> str:
        """Return everything that it has written so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _reap(self, timeout: float | None) -> None:
        assert self._process is not None
        self._process.wait(timeout)


@atexit.register
def _end_children() -> None:
    """Kill the children that are still running at exit, such as those that were started outside the main thread."""
    for child in list(_children):
        child.kill()


def is_alive(pid: int) -> bool:
    """Return whether a process runs, child or not. One that has ended but was not reaped does not run."""
    return _state(Path(f"/proc/{pid}")) not in {"", "Z"}


def stands_still(pid: int) -> bool:
    """Return whether every thread of a process is stopped. On a busy machine that takes a moment."""
    return all(_state(task) == "T" for task in Path(f"/proc/{pid}/task").glob("*"))


def _state(process: Path) -> str:
    """Return the kernel's letter for the state of a process or thread; empty if it is gone."""
    try:
        # The file says: pid (command) state ... The command may contain anything, also brackets.
        return (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def free_ports(count: int) -> list[int]:
    """Return `count` loopback TCP ports on which nobody listens."""
    found: list[int] = []
    for port in random.sample(SERVER_PORTS, len(SERVER_PORTS)):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise RuntimeError(f"no {count} free ports in {SERVER_PORTS}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Servers set this, too: a port whose last connections are still in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def clean_environment(**extra: str) -> dict[str, str]:
    """Return this process's environment plus `extra`, without variables that configure wharfinger, docker or
    etcd's clients."""
    prefixes = ("WHARFINGER_", "DOCKER_", "ETCDCTL_", "ETCD_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)} | extra
