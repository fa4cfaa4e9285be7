"""The rows about commands that do little, out of an installation like an operator's."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.figures import OURS, Figure, Row
from benchmarks.stage import Stage
from benchmarks.usage import cpu_of_command
from tests.support.base_image import copy_tree
from tests.support.processes import clean_environment

#: The interpreter's arguments for each command, after its name in the table. Nobody listens at the URL.
COMMANDS = {
    "wharfinger --version": ("--version",),
    "wharfinger health": ("health", "http://127.0.0.1:1/healthz"),
}


def commands(stage: Stage) -> list[Row]:
    """Measure the CPU of commands beside that of an interpreter that does nothing."""
    with tempfile.TemporaryDirectory(prefix="wharfinger-installed-") as folder:
        scripts = install(Path(folder)) / "bin"
        interpreter, program = str(scripts / "python"), str(scripts / "wharfinger")
        seconds: dict[str, list[float]] = {name: [] for name in ("", *COMMANDS)}
        for _ in range(stage.extent.commands):
            seconds[""].append(cpu_of_command([interpreter, "-c", "pass"]))
            for name, arguments in COMMANDS.items():
                seconds[name].append(cpu_of_command([interpreter, program, *arguments]))
    bare = median(seconds[""])
    return [
        Row(
            f"{name}, CPU beside a bare interpreter's",
            "times",
            {OURS: [Figure(median(seconds[name]) / bare)]},
            most=[6],
            notes=[f"{1000 * median(seconds[name]):.0f} ms, and {1000 * bare:.0f} ms"],
        )
        for name in COMMANDS
    ]


def install(folder: Path) -> Path:
    """Install this tree into a virtual environment, not editable, and return its folder. The dependencies are those
    of this interpreter's environment."""
    tree, environment = folder / "tree", folder / "environment"
    tree.mkdir()
    copy_tree(tree)
    _run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    packages = next((environment / "lib").glob("python*/site-packages"))
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    python = str(environment / "bin" / "python")
    _run(
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--python",
        python,
        "install",
        "--no-deps",
        "--force-reinstall",
        str(tree),
    )
    return environment


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, env=clean_environment())
