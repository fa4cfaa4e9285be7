"""Be a user who may not read everything, although the tests run as root."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

#: The user and the group that own nothing, by number.
NOBODY = 65534

#: The capabilities by which root reads every file.
_OVERRIDES = "-dac_override,-dac_read_search"


def without_overrides(argv: Sequence[str]) -> list[str]:
    """Return a command that runs another one as a user that may not read the files of other users. It needs the
    Debian package util-linux, and is the same user if that is root."""
    return ["setpriv", "--bounding-set", _OVERRIDES, "--inh-caps", _OVERRIDES, *argv]


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Let this process be the user nobody for a moment. Only root can become another user."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
