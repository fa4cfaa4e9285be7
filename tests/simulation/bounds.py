"""The promises about time in docs/reliability.md, as the oracle uses them. The page has the only copy."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from attrs import frozen

PAGE = Path(__file__).parents[2] / "docs/reliability.md"

#: The first line of the page's table.
HEADER = "| promise | within, in seconds |"

_TERM = re.compile(r"(?:(?P<factor>\d+) \* )?(?:`(?P<name>[a-z-]+)`|(?P<number>\d+))")


@frozen
class AgentTimes:
    """The flags of one agent that the promises depend on, in seconds."""

    interval: float
    pass_timeout: float
    ttl: float
    resync: float = 60.0


@cache
def promises() -> dict[str, str]:
    """Return the rows of the page's table: the sum of seconds by the promise."""
    lines = PAGE.read_text().partition(HEADER)[2].splitlines()[2:]
    rows: dict[str, str] = {}
    for line in lines:
        if not line.startswith("|"):
            break
        promise, within = (cell.strip() for cell in line.strip("|").split("|"))
        rows[promise] = within
    return rows


def seconds(within: str, times: AgentTimes) -> float:
    """Return the value of a sum such as ``2 * `interval` + `pass-timeout` + 30``. Raises ValueError for anything
    else."""
    values = {"interval": times.interval, "pass-timeout": times.pass_timeout, "ttl": times.ttl}
    values["resync"] = times.resync
    total = 0.0
    for term in within.split(" + "):
        match = _TERM.fullmatch(term)
        if not match:
            raise ValueError(f"{PAGE.name}: {term!r} in {within!r} is no number of seconds")
        value = values[match["name"]] if match["name"] else float(match["number"])
        total += int(match["factor"] or 1) * value
    return total


@frozen
class Bounds:
    """The promises to one agent, in seconds."""

    #: From a change of a container, of etcd or of the flags until all is right, while nothing fails.
    steady: float
    #: From the event of a container until its keys are right, while nothing fails and events arrive.
    hinted: float
    #: From the end of the last fault until all is right.
    recovery: float
    #: Between two sweeps, for each 20 hosts.
    sweep: float
    #: From the death of a host until its keys are gone, with -ttl.
    dead_host: float

    @classmethod
    def of(cls, times: AgentTimes) -> Bounds:
        """Return the promises for these flags."""
        rows = promises()
        return cls(
            seconds(rows["all is right after a change, while nothing fails"], times),
            seconds(
                rows["the keys of a container are right after its event, while nothing fails and events arrive"], times
            ),
            seconds(rows["all is right after the last fault has ended"], times),
            seconds(rows["by v3, a large fleet's next sweep for orphans comes, for each 20 hosts"], times),
            seconds(rows["with `-ttl`, the keys of a host that died are gone"], times),
        )
