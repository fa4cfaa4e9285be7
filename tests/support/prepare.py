"""Make the parts of the tests that take minutes, while other tests run: `python3 -m tests.support.prepare`.

A test that needs a part sooner waits until it is there. The modules of the makers import the standard library alone, so
that a Python without the test requirements can run this.
"""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import NoReturn

from tests.support import peers
from tests.support.engine_tree import engine_tree

#: What makes each part, by the part's name, in the order in which the stages need them.
MAKERS: Mapping[str, Callable[[], object]] = {
    **{f"etcd {version}": partial(peers.etcd_of, version) for version in ("3.4", "3.5", "3.6", "3.7")},
    "CoreDNS": peers.coredns,
    "Debian forky's engines": partial(engine_tree, "forky"),
}


def prepare(makers: Mapping[str, Callable[[], object]]) -> int:
    """Call each maker in turn, and print what became of its part. Return how many parts could not be made."""
    return sum(not _made(name, make) for name, make in makers.items())


def _made(name: str, make: Callable[[], object]) -> bool:
    begin = time.monotonic()
    try:
        make()
    except Exception:  # A part that cannot be made must not keep the others from being made.
        traceback.print_exc(file=sys.stdout)
        made = False
    else:
        made = True
    outcome = "is there" if made else "could not be made"
    sys.stdout.write(f"{name} {outcome} after {time.monotonic() - begin:.0f} s\n")
    sys.stdout.flush()
    return made


def _end(number: int, _: object) -> NoReturn:
    """Raise SystemExit, so that an unfinished part is removed."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(prepare(MAKERS) > 0)
