"""Install the oldest release that setup.cfg allows of each dependency, into the environment that runs this.

tox runs `python -m scripts.oldest` before the tests of its environment `oldest`.
"""

from __future__ import annotations

import subprocess
import sys

from scripts.requirements import allowed, oldest


def main() -> int:
    """Let pip install the releases. Return its exit code."""
    wanted = [str(oldest(each)) for each in allowed()]
    print("The oldest dependencies:", *wanted)
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *wanted]
    return subprocess.run(argv, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
