"""Run the wharfinger program as a child process."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support.processes import REPOSITORY, Child, clean_environment, free_ports
from tests.support.waiting import wait_until

PROGRAM = (sys.executable, "-m", "controller")

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Agent:
    """A wharfinger process, with its log in a file and its HTTP server on a loopback port of its own.

    `args` is the command line after `wharfinger`, without `--listen`. `docker_host` is the agent's DOCKER_HOST. `tree`
    is the folder with the program's source.
    """

    def __init__(
        self,
        docker_host: str,
        *args: str,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        stderr: int = subprocess.STDOUT,
        tree: Path = REPOSITORY,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        """`stderr` is the open file to which the process writes its standard error; by default the log file. `tree` is
        the folder with the program's source. `program` is the command that starts it, without arguments."""
        self.listen = f"127.0.0.1:{free_ports(1)[0]}"
        self._child = Child(
            [*program, *args],
            log_path,
            env=_environment(docker_host, env) | {"WHARFINGER_LISTEN": self.listen},
            cwd=tree,
            stderr=stderr,
        )

    @property
    def pid(self) -> int:
        """The process id of the agent."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child.running

    def start(self) -> Agent:
        """Start it and return at once. `wait_ready()` waits for its first successful pass."""
        self._child.start()
        return self

    def wait_ready(self, timeout: float = 15.0) -> Agent:
        """Wait until `/readyz` says that a pass succeeded. Raises RuntimeError if the agent ends before that."""
        wait_until(lambda: self.get("/readyz")[0] == 200 or not self.running, timeout, "the agent's first good pass")
        if not self.running:
            raise RuntimeError(f"the agent ended at its start:\n{self.log()}")
        return self

    def terminate(self, timeout: float = 10.0) -> int | None:
        """Send SIGTERM and return the exit code: -9 if it had to be killed after `timeout` seconds."""
        return self._child.stop(timeout)

    def kill9(self) -> None:
        """Send SIGKILL, and wait until the process has ended."""
        self._child.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._child.signal(number)

    def wait(self, timeout: float = 10.0) -> int | None:
        """Wait until it has ended by itself, and return its exit code."""
        wait_until(lambda: not self._child.running, timeout, "the agent to end")
        return self._child.exit_code

    def restart(self) -> Agent:
        """End it if it runs, and start it again with the same arguments."""
        self.terminate()
        return self.start()

    def log(self) -> str:
        """Return everything that it has logged, also before a restart."""
        return self._child.log()

    def get(self, path: str, timeout: float = 5.0, token: str = "") -> tuple[int, str]:
        """Send a GET request to its HTTP server, with a token if one is given. Return status and body; status 0 if
        nobody answers."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://{self.listen}{path}", headers=headers)
        try:
            with _opener.open(request, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metrics(self) -> dict[str, float]:
        """Return all samples of `/metrics`: name and labels as printed, and the value. Empty if nobody answers."""
        status, body = self.get("/metrics")
        return parse_metrics(body) if status == 200 else {}

    def total(self, metric: str, **labels: str) -> float:
        """Return the sum of all series of `wharfinger_<metric>` with these labels. Raises KeyError if there is none."""
        wanted = {f'{name}="{value}"' for name, value in labels.items()}
        found = [value for name, value in self.metrics().items() if _is_series_of(name, f"wharfinger_{metric}", wanted)]
        if not found:
            raise KeyError(metric)
        return sum(found)

    def passes(self, result: str = "success", **labels: str) -> float:
        """Return how many passes had this result since the start; `registry=LABEL` selects one registry."""
        return self.total("passes_total", result=result, **labels)

    def registry_errors(self) -> float:
        """Return how many requests to the registry got no usable answer."""
        return self.total("registry_request_errors_total")

    def drift(self) -> dict[str, float]:
        """Return how many changes by others it has repaired, by kind."""
        kinds = ("missing", "overwritten", "orphan")
        return {kind: self.total("drift_repaired_total", kind=kind) for kind in kinds}

    def wait_for_passes(self, more: int, result: str = "success", timeout: float = 60.0, **labels: str) -> None:
        """Wait until `more` further passes have had this result."""
        enough = self.passes(result, **labels) + more
        wait_until(lambda: self.passes(result, **labels) >= enough, timeout, f"{more} more passes that end in {result}")


def parse_metrics(text: str) -> dict[str, float]:
    """Parse Prometheus' text format into `name{label="value"}` -> value."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def _is_series_of(sample: str, metric: str, labels: set[str]) -> bool:
    name, _, rest = sample.rstrip("}").partition("{")
    return name == metric and labels <= set(rest.split(","))


def run_once(
    docker_host: str,
    *args: str,
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    through: Callable[[Sequence[str]], Sequence[str]] = list,
    tree: Path = REPOSITORY,
) -> subprocess.CompletedProcess[str]:
    """Run `wharfinger ARGS...` to its end. Return its exit code and output, also when it fails.

    `through` turns the command into one that runs it elsewhere, as `PrivateEngine.run_in_namespace` does. `tree` is the
    folder with the program's source.
    """
    return subprocess.run(
        through([*PROGRAM, *args]),
        env=_environment(docker_host, env),
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _environment(docker_host: str, extra: Mapping[str, str] | None) -> dict[str, str]:
    return clean_environment(DOCKER_HOST=docker_host) | dict(extra or {})
