"""The address of a service entry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Self

from attrs import frozen

from model.container import Container
from model.family import Family
from model.keys import quoted
from model.ports import ServicePort
from model.refusal import RefusalReason, RefusedPort
from model.rules import AddressRules

_HOSTNAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)


def address_problem(text: str) -> str | None:
    """Return why ``text`` cannot be registered as an address, or None when it can: an IP address or a host name. A
    loopback address can: whoever gives one may mean it."""
    if "%" in text:
        return "has a zone or a percent sign, which mean nothing to other hosts"
    try:
        return "is the unspecified address" if ip_address(text).is_unspecified else None
    except ValueError:
        numeric = text.replace(".", "").isdigit()
        return None if _HOSTNAME.fullmatch(text) and not numeric else "is neither an IP address nor a host name"


@frozen
class AddressBook:
    """Finds the addresses of one pass."""

    rules: AddressRules
    #: This host's containers that run, by id.
    containers: Mapping[str, Container]
    #: Why this host's address is not known, and what the operator can do about it. Empty where ``-ip`` or a usable
    #: guess gives the address.
    host_address_problem: str

    @classmethod
    def of(cls, rules: AddressRules, containers: Mapping[str, Container]) -> Self:
        """Make the book of one pass. The guessed address is judged here, once, and not once for each port."""
        problem = None if rules.ip else _guess_problem(rules, containers.values())
        return cls(rules, containers, f"{problem}; give the host's address with -ip" if problem else "")

    def address_of(self, container: Container, port: ServicePort, network: str = "", network_variable: str = "") -> str:
        """Return the address under which this port of the container is reached. Return an empty string if that is this
        host's address, and it is not known.

        ``network`` is the network that the container asks for with ``SERVICE_NETWORK``; empty for none.
        ``network_variable`` is what asks for it, for messages. Raises RefusedPort if the port has no usable address for
        any other reason. The first row that applies decides:

        ========================================  ===================================================================
        the port, or its container                address
        ========================================  ===================================================================
        published, but on no address of the       refused
        family
        has the label of ``-useIpFromLabel``      the label's, without a mask
        has no network (``--network none``)       refused
        joins another container's network         the other container's own; with host networking the host's, as below
        ``-internal``                             the container's own: on ``network`` or ``rules.network`` where one of
                                                  them is given; with host networking the host's, as below, unless
                                                  another network was asked for
        anywhere else                             ``-ip``; else the binding's own host address if it is a concrete
                                                  one; else, for a port the engine does not map, the container's
                                                  own; else the guessed one
        ========================================  ===================================================================

        Of a container's own addresses an IPv4 one goes before an IPv6 one, unless ``rules.family`` asks for one of
        them. Then only addresses of that family are taken, and only ports published on such addresses are registered.
        """
        rules = self.rules
        if port.binding and not (rules.internal or rules.family.has(port.binding.address)):
            detail = f"it is not published on an {rules.family.name_for_people} address"
            raise RefusedPort(RefusalReason.NO_ADDRESS, detail)
        if label := container.labels.get(rules.label, "") if rules.label else "":
            return _address_in_label(rules, label)
        if container.network_mode == "none":
            raise RefusedPort(RefusalReason.NO_ADDRESS, "the container has no network")
        holder = self._network_holder(container)
        asked_for = (network or rules.network) if rules.internal else ""
        if holder.network_mode == "host" and asked_for in {"", "host"}:
            return self._host_address
        if rules.internal or holder is not container:
            return _required_own_address(holder, rules.family, asked_for, network_variable if network else "--network")
        return rules.ip or _published_on(port) or _unmapped(container, port, rules.family) or self._host_address

    def _network_holder(self, container: Container) -> Container:
        """Return the container whose network this one uses: itself, or the one at the end of its ``container:``
        links."""
        seen = {container.id}
        while target := container.joined:
            holder = self.containers.get(target)
            if holder is None or holder.id in seen:
                detail = f"it joins the network of container {target[:12]}, which is not running"
                raise RefusedPort(RefusalReason.NO_ADDRESS, detail)
            seen.add(holder.id)
            container = holder
        return container

    @property
    def _host_address(self) -> str:
        return "" if self.host_address_problem else self.rules.ip or self.rules.guessed


def own_address(container: Container, family: Family = Family.ANY, network: str = "") -> str:
    """Return the container's own address, or an empty string if it has none.

    Only ``network`` is looked at where it is given. Otherwise the order is: the network that the container was started
    on, the default bridge, then its networks by name. On each network the families are taken in their order, IPv4 first
    unless ``family`` asks for one of them.
    """
    for ipv4, ipv6 in _address_pairs(container, network):
        for each in family.in_order:
            if address := ipv6 if each is Family.IPV6 else ipv4:
                return address
    return ""


def _address_pairs(container: Container, network: str) -> Iterator[tuple[str, str]]:
    """Yield the IPv4 and the IPv6 address on each network that may be looked at, in order."""
    on_bridge = container.address, container.address_ipv6
    for name in [network] if network else [container.network_mode, "", *sorted(container.networks)]:
        on_network = container.networks.get(name, ""), container.networks_ipv6.get(name, "")
        yield on_network if name else on_bridge


def _address_in_label(rules: AddressRules, value: str) -> str:
    address = value.rpartition("/")[0] if "/" in value else value
    problem = address_problem(address)
    if not problem and not rules.family.has(address):
        problem = f"is not an {rules.family.name_for_people} address"
    if problem:
        raise RefusedPort(RefusalReason.BAD_ADDRESS, f"label {rules.label}={quoted(value)} {problem}")
    return address


def _required_own_address(container: Container, family: Family, network: str = "", asker: str = "") -> str:
    """Return the container's own address, as ``own_address`` does. Raises RefusedPort where it has none. ``asker`` is
    the flag or the variable that asks for ``network``."""
    if address := own_address(container, family, network):
        return address
    asked_for = f"the network {quoted(network)}, which {asker} asks for"
    if network and network not in container.networks:
        missing = f"is not on {asked_for}"
    else:
        kind = f"{family.name_for_people} address".lstrip()
        missing = f"has no {kind} on {asked_for}" if network else f"has no {kind} of its own"
    raise RefusedPort(RefusalReason.NO_ADDRESS, f"container {container.name!r} {missing}")


def _published_on(port: ServicePort) -> str:
    """Return the binding's host address if whoever published the port chose a concrete one, be it a loopback one."""
    return port.binding.address if port.binding and not port.binding.unspecified else ""


def _unmapped(container: Container, port: ServicePort, family: Family) -> str:
    """Return the container's own address for a port that the engine does not map; an empty string for other ports, and
    where the container has no address at all. If it has addresses, but none of the family, the port is refused, as the
    host's address would not lead to it."""
    return _required_own_address(container, family) if not port.binding and own_address(container) else ""


def _guess_problem(rules: AddressRules, containers: Iterable[Container]) -> str | None:
    """Return why the guessed address can only be wrong, or None. Nobody else can dial this host's loopback, and an
    address of a container (the agent's own, when it runs in one without ``--net=host``) is not the host's."""
    guess = rules.guessed
    if not guess:
        return "no address of this host is known"
    if ip_address(guess).is_loopback or ip_address(guess).is_unspecified:
        return f"this host reaches etcd from {guess}, which nobody else can dial"
    if any(guess in _every_address(each) for each in containers):
        return f"this host reaches etcd from {guess}, which is a container's address"
    if not rules.family.has(guess):
        return f"this host reaches etcd from {guess}, which is not an {rules.family.name_for_people} address"
    return None


def _every_address(container: Container) -> frozenset[str]:
    on_networks = (*container.networks.values(), *container.networks_ipv6.values())
    return frozenset({container.address, container.address_ipv6, *on_networks})
