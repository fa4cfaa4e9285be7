"""The shell functions of scripts/, and what is left of a test run that a signal ends."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from scripts.demo import NUMBERS
from tests.support.packages import CLIENT, DAEMON, missing_packages
from tests.support.processes import REPOSITORY, Child, is_alive
from tests.support.waiting import wait_until

#: A test run that starts an engine with a container and an etcd, writes down where they are, and then waits.
RUN = """
import json, os, signal
from pathlib import Path
from tests.support.etcd_server import EtcdServer
from tests.support.images import build_test_images
from tests.support.private_engine import private_engine

def test_run():
    engine, etcd = private_engine(), EtcdServer().start()
    try:
        build_test_images(engine)
        pid = engine.inspect(engine.run("web"))["State"]["Pid"]
        left = {
            "folders": [str(engine.folder), str(etcd.folder)],
            "pids": [pid, engine.daemon.pid, etcd.pid, os.getpid()],
            "link": f"wfh{engine.network.number}",
        }
        Path("left.new").write_text(json.dumps(left))
        Path("left.new").rename("left")
        signal.pause()
    finally:
        etcd.close()
        engine.close()
"""


def shell(script: str, folder: Path, **environment: str) -> Child:
    """Start a script that has read scripts/lib.sh. It obeys SIGHUP, which nohup would have it ignore."""
    argv = ["env", "--default-signal=HUP", "bash", "-c", f"set -euo pipefail; . scripts/lib.sh; {script}"]
    child = Child(argv, folder / "shell.log", cwd=REPOSITORY, env=os.environ | environment)
    child.start()
    return child


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock as apt and dpkg do."""
    with path.open("a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def apt_of_its_own(folder: Path) -> str:
    """Return a configuration with which apt-get has its lists, its archives and dpkg's state in a folder, and no
    sources."""
    for name in ("lists/partial", "cache/archives/partial", "dpkg"):
        (folder / name).mkdir(parents=True)
    (folder / "dpkg/status").touch()
    configuration = folder / "apt.conf"
    configuration.write_text(
        f'Dir::State::lists "{folder}/lists"; Dir::State::status "{folder}/dpkg/status"; Dir::Cache "{folder}/cache"; '
        f'Dir::Etc::sourcelist "{os.devnull}"; Dir::Etc::sourceparts "{os.devnull}";'
    )
    return str(configuration)


@pytest.mark.parametrize(
    ("command", "lock"),
    [("update", "lists/lock"), ("clean", "cache/archives/lock"), ("install", "dpkg/lock-frontend")],
)
def test_scripts_wait_for_another_program_that_installs_packages(command: str, lock: str, tmp_path: Path) -> None:
    """While another program holds a lock of apt, the scripts say so and wait. Then they go on."""
    configuration = apt_of_its_own(tmp_path)
    with locked(tmp_path / lock):
        child = shell(f"apt_get {command} && echo gone on", tmp_path, APT_CONFIG=configuration)
        wait_until(lambda: "Waiting for another program that installs packages" in child.log(), what="the note")
        assert child.running
    wait_until(lambda: not child.running, what="the script to go on")
    assert (child.exit_code, child.log().splitlines()[-1]) == (0, "gone on")


def test_scripts_do_not_wait_for_a_lock_that_is_free_again(tmp_path: Path) -> None:
    """If apt-get got its lock after a while and then failed, the scripts neither wait nor run it again."""
    apt = 'as_root() { echo "Waiting for cache lock: Could not get lock x"; echo "E: no such package"; return 100; }'
    child = shell(f"{apt}; apt_get install no-such-package", tmp_path)
    wait_until(lambda: not child.running, what="the script to fail")
    assert child.exit_code == 100
    assert "another program" not in child.log()


def test_scripts_do_not_wait_for_ever_to_install_packages(tmp_path: Path) -> None:
    """When the patience is over, the script fails, and its output says who holds the lock."""
    with locked(tmp_path / "lock"):
        configuration = apt_of_its_own(tmp_path)
        (tmp_path / "lists/lock").hardlink_to(tmp_path / "lock")
        child = shell("apt_get update", tmp_path, APT_CONFIG=configuration, APT_PATIENCE="1")
        wait_until(lambda: not child.running, what="the script to give up")
    assert child.exit_code != 0
    assert f"held by process {os.getpid()}" in child.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_a_script_ends_all_that_it_runs(number: signal.Signals, tmp_path: Path) -> None:
    """The script passes the signal on to the whole process group of its command, and waits until the last process has
    cleaned up."""
    inner = 'trap "echo cleaned up; exit" TERM INT; echo $$; while true; do sleep 0.1; done'
    child = shell("run_group bash -c '(bash -c \"$INNER\"); true'", tmp_path, INNER=inner)
    pid = int(wait_until(child.log, what="the pid of the inner process"))
    child.signal(number)
    wait_until(lambda: not child.running, what="the script to end")
    assert not is_alive(pid)
    assert "cleaned up" in child.log()
    assert child.exit_code == 128 + number


def test_a_test_run_ends_with_the_tox_that_started_it(tmp_path: Path) -> None:
    """tox ends at once when a signal ends it, and passes nothing on. The run then ends in order."""
    (tmp_path / "test_run.py").write_text(
        "import os, signal\ndef test_run():\n    open('begun', 'w').write(str(os.getpid()))\n    signal.pause()\n"
    )
    argv = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-m", "pytest", "-p", "tests.conftest", "test_run.py"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TOX_ENV_NAME": "integration"}
    tox = Child(argv, tmp_path / "log", cwd=tmp_path, env=environment)
    tox.start()
    wait_until(lambda: (tmp_path / "begun").exists() and (tmp_path / "begun").read_text(), 30, "the run to begin")
    tox.kill()
    wait_until(lambda: not is_alive(int((tmp_path / "begun").read_text())), what="the run to end")
    assert "KeyboardInterrupt" in tox.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_a_signal_ends_has_cleaned_up_when_it_ends(number: signal.Signals, tmp_path: Path) -> None:
    """So does one that would go on in the background: it plays in a child process."""
    argv = [sys.executable, "-m", "scripts.demo", "--engine", "recorded", "--keep"]
    demo = Child(argv, tmp_path / "log", cwd=REPOSITORY)
    demo.start()
    wait_until(lambda: "Its first pass ended" in demo.log() or not demo.running, 30, "the agent of the demo")
    (player,) = map(int, Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split())
    demo.signal(number)
    wait_until(lambda: not demo.running, 30, "the demo to end")
    assert demo.exit_code == 128 + number
    assert not is_alive(player)


def test_the_demo_fits_into_80_columns_and_explains_what_it_counts(tmp_path: Path) -> None:
    """It lists what it registered, and explains why the keys of a container are gone. Only what ``explain`` prints may
    be wider: it has whole keys."""
    demo = Child([sys.executable, "-m", "scripts.demo", "--engine", "recorded"], tmp_path / "log", cwd=REPOSITORY)
    demo.start()
    wait_until(lambda: not demo.running, 60, "the demo to end")
    assert demo.exit_code == 0, demo.log()
    before, explained, after = re.split(r"(?ms)^6\. Why is it not there\?$(.*?)^7\. ", demo.log())
    assert [line for line in (before + after).splitlines() if len(line) > 80] == []
    assert "6 entries: 6 ours." in before
    assert "demo-2 does not run" in explained
    counted = [*pairwise(after.splitlines())]
    assert [("6 -> 4", number.about) for number in NUMBERS if "wharfinger_entries" in number.sample] == [
        (line.partition("  ")[2], about.strip()) for line, about in counted if line.startswith("wharfinger_entries")
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_test_run_that_a_signal_ends_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    """Engine, container, etcd, their folders, mounts and network are gone, also if the run could clean up nothing."""
    if missing := missing_packages(CLIENT | DAEMON):
        pytest.skip(f"a private engine needs {', '.join(missing)}, not installed here")
    (tmp_path / "test_run.py").write_text(RUN)
    argv = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-q", "test_run.py"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    run = Child(argv, tmp_path / "log", cwd=tmp_path, env=environment)
    run.start()
    wait_until(lambda: (tmp_path / "left").exists() or not run.running, 60, "the engine of the run")
    left = json.loads((tmp_path / "left").read_text())
    run.signal(number)
    wait_until(lambda: not run.running and not any(map(is_alive, left["pids"])), 60, "the processes to end")
    wait_until(lambda: not any(map(os.path.exists, left["folders"])), 60, "the folders to be removed")
    assert left["folders"][0] not in Path("/proc/self/mounts").read_text()
    wait_until(lambda: not Path("/sys/class/net", left["link"]).exists(), what="the network to be removed")
