"""A container's line in the engine's list, compared with what an inspect said of it.

The list is cheap and shows neither environment nor exposed ports, so each container is inspected once and what the
inspect said is kept. These functions tell whether it may still be used.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from model.container import NO_HEALTHCHECK, UP, Container, ContainerRef, ipv6_addresses, networks_in, state_named

#: What the list shows and what can change in a container's life.
_SHOWN = ("Names", "State", "Ports", "NetworkSettings")

_UPTIME = re.compile(
    r"Up (?:Less than a second|(?:About )?(?P<number>\d+|an?) (?P<unit>second|minute|hour|day|week|month|year))"
)
_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 7 * 86400,
    "month": 30 * 86400,
    "year": 365 * 86400,
}

_HEALTH = re.compile(r"\((?:health: )?(?P<health>starting|healthy|unhealthy)\)$")


def listed_ref(line: Mapping[str, Any]) -> ContainerRef:
    """Return id and name of the container of a line of the list. The name is empty if the line does not tell it."""
    names = line.get("Names")
    texts = [each for each in (names if isinstance(names, list) else ()) if isinstance(each, str)]
    # A link gives a container a second name, as in /other/alias. Its own name has one slash.
    own = [name[1:] for name in texts if name.count("/") == 1]
    return ContainerRef(line["Id"], own[0] if own else "")


def is_up(listed: Mapping[str, Any]) -> bool:
    """Return whether Docker's list would show the container of this line by default. Podman's list of all containers
    also has those that are not up, and its default list lacks some that are."""
    return listed.get("State") in UP


def shown_in_list(listed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a container's line in ``GET /containers/json`` that tells whether an earlier inspect answer
    still holds: it does while this part is equal to what it was then.

    Of the status text only an exit code and the health count. The rest of it ("Up 3 minutes") changes by itself, and so
    does the order of the ports.
    """
    shown = {key: listed.get(key) for key in _SHOWN}
    shown["Ports"] = sorted((sorted((port or {}).items()) for port in listed.get("Ports") or ()), key=repr)
    status = listed.get("Status") or ""
    ended = status.partition(")")[0] if status.startswith(("Exited", "Restarting")) else ""
    return {**shown, "exit": ended, "health": _health_in(status)}


def may_have_started(before: str, now: str, seconds: float) -> bool:
    """Return whether a running container may have been started between two lists, of which these are its status texts,
    and between which at most ``seconds`` passed.

    Then its uptime is no longer than that, or shorter than before, but nothing else in the list has to change: it may
    get the same address and ports.
    """
    uptime = _uptime(now)
    return uptime is not None and (uptime <= seconds or uptime < (_uptime(before) or 0))


def _uptime(status: str) -> int | None:
    """Return the seconds in a status text as ``Up About a minute``; None where there are none. The engine rounds hours
    to the nearest one and cuts the other units off, so only from an hour on may this be more than the uptime, by half
    an hour at most."""
    match = _UPTIME.match(status)
    if not match:
        return None
    number, unit = match["number"], match["unit"]
    return (int(number) if number.isdigit() else 1) * _SECONDS[unit] if unit else 0


def joiners_to_inspect(kept: Mapping[str, Container], due: Collection[str]) -> frozenset[str]:
    """Return the ids of the containers that have to be inspected although the list shows them unchanged, because the
    list shows nothing of the start of a container that joins another's network.

    ``kept`` has the containers whose earlier inspect answers may be used, by id, and ``due`` the ids of those that are
    inspected in any case. When a container was started decides whether one that joins its network is reached. So a
    container that joins one is inspected

    - if the other one is, as it may have been started again;
    - if the other one was started later than it, as far as is known, because it may have been started again, too;
    - if another container joins its own network in turn; and then that one is inspected, too.
    """
    joiners = [each for each in kept.values() if each.joined]
    joined_twice = {each.joined for each in joiners if each.joined in kept and kept[each.joined].joined}
    found = {
        each.id
        for each in joiners
        if each.joined in {*due, *joined_twice} or (each.joined in kept and kept[each.joined].started_after(each))
    }
    return frozenset(found | joined_twice)


def _health_in(status: str) -> str:
    """Return the health that a status text ends in: ``starting`` for ``Up 3 seconds (health: starting)``."""
    match = _HEALTH.search(status)
    return match["health"] if match else ""


def agrees_with_list(container: Container, listed: Mapping[str, Any]) -> bool:
    """Return whether an inspect saw what the list had just shown. A container that restarts in between can be seen with
    empty ports, and such an answer must not be kept: the list will soon show the container as before. After a crash of
    the engine its list may lack the names."""
    names = listed.get("Names")
    return (
        container.status == state_named(listed.get("State") or "")
        and (not names or f"/{container.name}" in names)
        and _same_health(container, listed.get("Status") or "")
        and (bool(container.joined) or _same_network(container, listed))
    )


def shows_health(container: Container, listed: Mapping[str, Any]) -> bool:
    """Return whether the list tells of a change of the container's health. Podman's list says nothing of health."""
    checked = container.status == "running" and container.health not in NO_HEALTHCHECK
    return not checked or bool(_health_in(listed.get("Status") or ""))


def _same_network(container: Container, listed: Mapping[str, Any]) -> bool:
    """Return whether both show the same addresses and ports. Of a container that joins another's network, Podman's list
    shows those of the other one."""
    networks = networks_in(listed.get("NetworkSettings") or {})
    return (
        dict(container.networks) == {name: each.get("IPAddress") or "" for name, each in networks.items()}
        and dict(container.networks_ipv6) == ipv6_addresses(networks)
        and _same_ports(container, listed.get("Ports") or ())
    )


def _same_health(container: Container, status: str) -> bool:
    """Return whether both show the same health, as far as the list shows it: that of running containers only, and with
    Podman none. Of a paused one it says "Paused" instead, and the engine does not check the health of a paused one, so
    it cannot change either."""
    health = "" if container.health in NO_HEALTHCHECK else container.health
    shown = _health_in(status)
    return container.status != "running" or not shown or health == shown


def _same_ports(container: Container, listed: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether both show the same ports of the host. Their addresses cannot change in a container's life."""
    shown = {
        (each["PrivatePort"], each["Type"], each["PublicPort"]) for each in listed if (each or {}).get("PublicPort")
    }
    return shown == {
        (port.number, port.protocol, each.port) for port, bindings in container.published.items() for each in bindings
    }
