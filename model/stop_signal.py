"""The signals of Linux, by the names that the engine takes: ``TERM``, ``SIGTERM``, ``15``, ``RTMIN+3``.

Source: signal(7), and the names of Docker's ``--stop-signal``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from model.frozen import frozen_dict

KILL = 9

#: The signal by which the engine stops a container that names no other.
TERM = 15

#: The first and the last signal for real time, as the engine counts them.
_RTMIN, _RTMAX = 34, 64

#: The signals with a name of their own, in the order of their numbers from 1 on.
_NAMES = (
    *(
        "HUP",
        "INT",
        "QUIT",
        "ILL",
        "TRAP",
        "ABRT",
        "BUS",
        "FPE",
        "KILL",
        "USR1",
        "SEGV",
        "USR2",
        "PIPE",
        "ALRM",
        "TERM",
    ),
    *("STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO"),
    *("PWR", "SYS"),
)

#: Other names of signals.
_ALIASES = {"IOT": 6, "CLD": 17, "POLL": 29, "UNUSED": 31, "RTMIN": _RTMIN, "RTMAX": _RTMAX}

_NUMBERS: Mapping[str, int] = frozen_dict(_ALIASES | {name: number for number, name in enumerate(_NAMES, start=1)})

_OFFSET = re.compile(r"(?P<base>RTMIN|RTMAX)(?P<offset>[+-][0-9]{1,2})", re.ASCII)


def signal_number(text: str) -> int | None:
    """Return the number of the signal that a text names, in capital or small letters; None if it names none."""
    name = text.strip().upper().removeprefix("SIG")
    if name.isascii() and name.isdigit():
        number = int(name.lstrip("0")[:3] or "0")
    elif match := _OFFSET.fullmatch(name):
        number = _NUMBERS[match["base"]] + int(match["offset"])
        if number < _RTMIN:
            return None
    else:
        number = _NUMBERS.get(name, 0)
    return number if 0 < number <= _RTMAX else None


def signal_name(number: int) -> str:
    """Return the name of a signal: ``TERM`` for 15, and the number itself where it has no name."""
    if 0 < number <= len(_NAMES):
        return _NAMES[number - 1]
    return f"RTMIN+{number - _RTMIN}" if _RTMIN <= number <= _RTMAX else str(number)
