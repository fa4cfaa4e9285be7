"""How many requests an agent makes, counted exactly: in a minute in which nothing happens, and because of one change.

Times depend on the machine, counts do not. No sweep comes meanwhile. The kinds of requests are those of asked.py;
``_ping`` is left out, with which each new connection to the engine begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.simulation.quiet_host import QuietHost, quiet_host
from tests.simulation.run import NEIGHBOURS

#: The registries: the version of etcd's API, and the number of neighbours.
REGISTRIES = {"v2": (2, 0), "v3": (3, 0), "v3 of a large fleet": (3, NEIGHBOURS)}

MINUTE = 60.0

#: Seconds in which all that one change causes has happened.
AFTERMATH = 20.0

#: Seconds between two sweeps, more than a test takes.
RESYNC = 600

#: The requests of an idle minute: one to etcd a pass by v3, and two by v2. While events arrive, there is a list each 5
#: seconds. A stream in which nothing ever happened begins anew after a minute, and the history of signals is read then.
IDLE = {
    ("v2", True): {"read": 120, "list": 12, "info": 1, "events": 2, "pass": 60},
    ("v2", False): {"read": 120, "list": 60, "info": 1, "pass": 60},
    ("v3", True): {"range": 60, "list": 12, "info": 1, "events": 2, "pass": 60},
    ("v3", False): {"range": 60, "list": 60, "info": 1, "pass": 60},
    ("v3 of a large fleet", True): {"range": 60, "list": 12, "info": 1, "events": 2, "pass": 60},
    ("v3 of a large fleet", False): {"range": 60, "list": 60, "info": 1, "pass": 60},
}

CHANGES: dict[str, Callable[[QuietHost], object]] = {
    "start": lambda host: host.run("new"),
    "kill": lambda host: host.engine.kill("web"),
    "remove": lambda host: host.engine.remove("web", force=True),
    "rename": lambda host: host.engine.rename("web", "front"),
    "pause": lambda host: host.engine.pause("web"),
}

#: What a change costs in addition. The signal and the end that follows make a pass each. By v2, the delete of a key
#: also tries to delete its directory.
COSTS = {
    ("v2", True): {
        "start": {"inspect": 2, "write": 1, "pass": 1},
        "kill": {"inspect": 2, "write": 2, "pass": 2},
        "remove": {"inspect": 2, "write": 2, "pass": 2},
        "rename": {"inspect": 1, "write": 3, "pass": 1},
        "pause": {"inspect": 1, "pass": 1},
    },
    ("v2", False): {
        "start": {"inspect": 1, "read": 1, "write": 1},
        "kill": {"list": 1, "inspect": 1, "read": 4, "write": 2},
        "remove": {"list": 1, "inspect": 1, "read": 4, "write": 2},
        "rename": {"list": 1, "inspect": 1, "read": 4, "write": 3},
        "pause": {"inspect": 1},
    },
    ("v3", True): {
        "start": {"inspect": 2, "compare": 1, "write": 1, "pass": 1},
        "kill": {"inspect": 3, "compare": 1, "write": 1, "pass": 2},
        "remove": {"inspect": 2, "compare": 1, "write": 1, "pass": 2},
        "rename": {"inspect": 1, "compare": 1, "write": 1, "pass": 1},
        "pause": {"inspect": 1, "pass": 1},
    },
    ("v3", False): {
        "start": {"inspect": 1, "range": 1, "compare": 1, "write": 1},
        "kill": {"list": 1, "inspect": 1, "range": 2, "compare": 2, "write": 1},
        "remove": {"list": 1, "inspect": 1, "range": 2, "compare": 2, "write": 1},
        "rename": {"list": 1, "inspect": 1, "range": 2, "compare": 2, "write": 1},
        "pause": {"inspect": 1},
    },
    ("v3 of a large fleet", True): {
        "start": {"inspect": 2, "compare": 2, "write": 1, "pass": 1},
        "kill": {"inspect": 2, "range": -1, "compare": 2, "write": 1, "pass": 2},
        "remove": {"inspect": 2, "range": -1, "compare": 2, "write": 1, "pass": 2},
        "rename": {"inspect": 1, "compare": 2, "write": 1, "pass": 1},
        "pause": {"inspect": 1, "pass": 1},
    },
    ("v3 of a large fleet", False): {
        "start": {"inspect": 1, "range": 1, "compare": 2, "write": 1},
        "kill": {"list": 1, "inspect": 1, "range": 1, "compare": 3, "write": 1},
        "remove": {"list": 1, "inspect": 1, "range": 1, "compare": 3, "write": 1},
        "rename": {"list": 1, "inspect": 1, "range": 2, "compare": 3, "write": 1},
        "pause": {"inspect": 1},
    },
}

CASES = pytest.mark.parametrize(("registry", "hints"), IDLE)


def requests(
    registry: str, hints: bool, seconds: float, change: Callable[[QuietHost], object] = lambda host: None
) -> Counter[str]:
    """Return the requests of an agent at rest after a change, in so many seconds."""
    api, neighbours = REGISTRIES[registry]
    with quiet_host(api, hints, neighbours, resync=RESYNC) as host:
        change(host)
        found = host.requests(seconds)
        assert host.keys == host.right
    del found["_ping"]
    return found


@CASES
def test_an_idle_minute(registry: str, hints: bool) -> None:
    """Nothing is written, and no container is inspected."""
    assert requests(registry, hints, MINUTE) == IDLE[registry, hints]


@CASES
def test_one_change(registry: str, hints: bool) -> None:
    """With hints, a pass more is made, no list is read for it, and by v3 no key is read a second time."""
    idle = requests(registry, hints, AFTERMATH)
    found = {}
    for name, change in CHANGES.items():
        cost = requests(registry, hints, AFTERMATH, change)
        cost.subtract(idle)
        found[name] = {kind: number for kind, number in cost.items() if number}
    assert found == COSTS[registry, hints]
