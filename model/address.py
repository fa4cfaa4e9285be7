"""The address of a service entry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Self

from attrs import frozen

from model.container import Container
from model.entry import RefusalReason, quoted
from model.family import Family
from model.ports import ServicePort

_HOSTNAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)


@frozen
class Unaddressed(Exception):
    """There is no address to register a port under: why, in the list's word and in a person's."""

    reason: RefusalReason
    detail: str


@frozen
class AddressRules:
    """``ip`` is what the operator gave (``-ip``); ``guessed`` the address of the interface through which this host
    reaches etcd; either may be empty. ``label`` names the label of ``-useIpFromLabel``. ``network`` is the one on which
    ``internal`` looks for a container's address, if the container names no other. ``family``: only such addresses."""

    ip: str = ""
    guessed: str = ""
    label: str = ""
    internal: bool = False
    network: str = ""
    family: Family = Family.ANY


def address_problem(text: str) -> str | None:
    """Why ``text`` cannot be registered as an address, or None when it can: an IP address (loopback is its giver's
    business) or a host name."""
    if "%" in text:
        return "has a zone or a percent sign, which mean nothing to other hosts"
    try:
        return "is the unspecified address" if ip_address(text).is_unspecified else None
    except ValueError:
        numeric = text.replace(".", "").isdigit()
        return None if _HOSTNAME.fullmatch(text) and not numeric else "is neither an IP address nor a host name"


@frozen
class AddressBook:
    """The addresses of one pass: the rules, and this host's serving containers by id."""

    rules: AddressRules
    peers: Mapping[str, Container]
    guess_problem: str | None

    @classmethod
    def of(cls, rules: AddressRules, peers: Mapping[str, Container]) -> Self:
        """The guessed address is judged once, not once a port."""
        return cls(rules, peers, _guess_problem(rules, peers.values()))

    def address_of(self, container: Container, port: ServicePort, network: str = "") -> str:
        """The address under which this port of the container is reached; raises Unaddressed. In order:

        ========================================  ===================================================================
        where the container is                    address
        ========================================  ===================================================================
        it has the label of ``-useIpFromLabel``   the label's, without a mask
        it joins another container's network      the other container's own
        ``-internal``                             the container's own: on ``network`` (``SERVICE_NETWORK``) or
                                                  ``rules.network`` where one of them is given; with host networking
                                                  the host's, as below, unless another network was asked for
        anywhere else                             ``-ip``; else the binding's own host address if it is a concrete
                                                  one; else, for a port the engine does not map, the container's
                                                  own; else the guessed one
        ========================================  ===================================================================

        Of a container's own addresses an IPv4 one goes before an IPv6 one, unless ``rules.family`` asks for one of
        them: then only addresses of that family are taken, and only ports published on such are registered.
        """
        rules = self.rules
        if port.binding and not (rules.internal or rules.family.has(port.binding.address)):
            detail = f"it is not published on an {rules.family.name_for_people} address"
            raise Unaddressed(RefusalReason.NO_ADDRESS, detail)
        if label := container.labels.get(rules.label, "") if rules.label else "":
            return _labelled(rules, label)
        if container.network_mode == "none":
            raise Unaddressed(RefusalReason.NO_ADDRESS, "the container has no network")
        home = self._network_holder(container)
        named = (network or rules.network) if rules.internal else ""
        if home.network_mode == "host" and named in {"", "host"}:
            return rules.ip or self._guessed()
        if rules.internal or home is not container:
            return _own(home, rules.family, named)
        return rules.ip or _bound(port) or _unmapped(container, port, rules.family) or self._guessed()

    def _network_holder(self, container: Container) -> Container:
        """The container whose network this one uses: itself, or the one at the end of its ``container:`` links."""
        seen = {container.id}
        while target := container.joined:
            holder = self.peers.get(target)
            if holder is None or holder.id in seen:
                detail = f"it joins the network of container {target[:12]}, which is not running"
                raise Unaddressed(RefusalReason.NO_ADDRESS, detail)
            seen.add(holder.id)
            container = holder
        return container

    def _guessed(self) -> str:
        if self.guess_problem:
            detail = f"{self.guess_problem}; give the host's address with -ip"
            raise Unaddressed(RefusalReason.NO_ADDRESS, detail)
        return self.rules.guessed


def own_address(container: Container, family: Family = Family.ANY, network: str = "") -> str:
    """The container's own address, or an empty string: on this network where one is given, else on the one it was
    started on, else on the default bridge, else on the first of its networks by name that gave it one. Of a network's
    addresses the IPv6 one is taken where there is no IPv4 one, or where only it is of the family."""
    for ipv4, ipv6 in _pairs(container, network):
        for each in family.in_order:
            if address := ipv6 if each is Family.IPV6 else ipv4:
                return address
    return ""


def _pairs(container: Container, network: str) -> Iterator[tuple[str, str]]:
    """The IPv4 and the IPv6 address of each network that may be looked at, in order."""
    on_bridge = container.address, container.address_ipv6
    for name in [network] if network else [container.network_mode, "", *sorted(container.networks)]:
        on_network = container.networks.get(name, ""), container.networks_ipv6.get(name, "")
        yield on_network if name else on_bridge


def _labelled(rules: AddressRules, value: str) -> str:
    address = value.rpartition("/")[0] if "/" in value else value
    problem = address_problem(address)
    if not problem and not rules.family.has(address):
        problem = f"is not an {rules.family.name_for_people} address"
    if problem:
        raise Unaddressed(RefusalReason.BAD_ADDRESS, f"label {rules.label}={quoted(value)} {problem}")
    return address


def _own(container: Container, family: Family, network: str) -> str:
    if address := own_address(container, family, network):
        return address
    if network and network not in container.networks:
        missing = f"is not on the network {quoted(network)}"
    else:
        kind = f"{family.name_for_people} address".lstrip()
        missing = f"has no {kind} on the network {quoted(network)}" if network else f"has no {kind} of its own"
    raise Unaddressed(RefusalReason.NO_ADDRESS, f"container {container.name!r} {missing}")


def _bound(port: ServicePort) -> str:
    """The binding's host address, if whoever published the port chose a concrete one (loopback is a choice, too)."""
    return port.binding.address if port.binding and not port.binding.unspecified else ""


def _unmapped(container: Container, port: ServicePort, family: Family) -> str:
    """The container's own address for a port that the engine does not map. The host's is no substitute for one of
    another family."""
    return _own(container, family, "") if not port.binding and own_address(container) else ""


def _every_address(container: Container) -> frozenset[str]:
    """On whichever network."""
    on_networks = (*container.networks.values(), *container.networks_ipv6.values())
    return frozenset({container.address, container.address_ipv6, *on_networks})


def _guess_problem(rules: AddressRules, peers: Iterable[Container]) -> str | None:
    """Why the guessed address can only be wrong, if so: nobody else can dial this host's loopback, and an address of
    a container (the agent's own, when it runs in one without ``--net=host``) is not the host's."""
    guess = rules.guessed
    if not guess:
        return "no address of this host is known"
    if ip_address(guess).is_loopback or ip_address(guess).is_unspecified:
        return f"this host reaches etcd from {guess}, which nobody else can dial"
    if any(guess in _every_address(peer) for peer in peers):
        return f"this host reaches etcd from {guess}, which is a container's address"
    if not rules.family.has(guess):
        return f"this host reaches etcd from {guess}, which is not an {rules.family.name_for_people} address"
    return None
