"""The address of a service entry."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address
from itertools import pairwise
from typing import Self

from attrs import field, frozen

from model.container import Binding, Container, PortId
from model.engine_network import BRIDGE, INGRESS, Network
from model.entry import binding_suffix
from model.family import ALL_IPV4, Family, same_address
from model.keys import quoted
from model.ports import ServicePort, service_ports
from model.refusal import RefusalReason, RefusedPort
from model.rules import AddressRules

#: A host name (RFC 1123). No DNS answer can carry a longer label or name, so a server that has one in its records gives
#: no answer at all.
_HOSTNAME_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}$){_HOSTNAME_LABEL}(\.{_HOSTNAME_LABEL})*")


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


class NetworkNotTold(Exception):
    """The engine has not said yet what a network is on which a port depends. The message is for people."""


@frozen
class Place:
    """Where clients reach a service port."""

    #: The address to dial. Empty if it is this host's address, and that is not known.
    address: str
    #: The port to dial.
    port: int
    #: What tells the place from the port's first one in the id of an entry; empty where there is only one.
    id_suffix: str = ""
    #: What gives the address, for messages: a flag, a label, or where it was found.
    source: str = field(default="", eq=False)


#: What gives an address, for messages; see ``Place.source``.
_IP_FLAG = "-ip"
_OWN_ADDRESS = "the container's own address"

#: Stands for what the engine has not said yet of a network. None stands for its refusal to say it.
_NOT_TOLD = "not told"


@frozen
class AddressBook:
    """Finds the addresses of one pass."""

    rules: AddressRules
    #: This host's containers that run, by id.
    containers: Mapping[str, Container]
    #: What the engine said of networks; see Snapshot.
    networks: Mapping[str, Network | None]
    #: Why this host's address is not known, and what the operator can do about it. Empty where ``-ip`` or a usable
    #: guess gives the address.
    host_address_problem: str

    @classmethod
    def of(
        cls, rules: AddressRules, containers: Mapping[str, Container], networks: Mapping[str, Network | None]
    ) -> Self:
        """Make the book of one pass. The guessed address is judged here, once, and not once for each port."""
        problem = None if rules.ip else _guess_problem(rules, containers.values())
        return cls(rules, containers, networks, f"{problem}; give the host's address with -ip" if problem else "")

    def basis_of(self, container: Container) -> tuple[object, ...]:
        """Return all that ``places_of`` reads for this container besides ``rules`` and ``host_address_problem``: the
        container, those whose network it uses, and what the engine said of its own networks."""
        told = tuple([self.networks.get(each, _NOT_TOLD) for each in container.network_ids.values()])
        return (*self._joiners(container), told) if container.joined else (container, told)

    def places_of(
        self, container: Container, port: ServicePort, network: str = "", network_variable: str = ""
    ) -> tuple[Place, ...]:
        """Return the places where this port of the container is reached, each address and port once, and the one to
        register first. Only a port that is published several times has several.

        ``network`` is the network that the container asks for with ``SERVICE_NETWORK``; empty for none.
        ``network_variable`` is what asks for it, for messages. Raises RefusedPort if there is no such place, and
        NetworkNotTold if the engine has to say first what a network is. The first row that applies decides:

        ========================================  ===================================================================
        the port, or its container                address
        ========================================  ===================================================================
        joins the network of a container that     refused
        does not run, or was started later
        published, but on no address of the       refused
        family, without ``-ip-from-container``
        has the label of ``-useIpFromLabel``      the label's, without a mask; on a published port see below
        has no network (``--network none``)       refused
        joins another container's network         the other container's own; with host networking the host's, as below
        ``-internal``, or it is published and     the container's own: on ``network`` or ``rules.network`` where one of
        ``-ip-from-container``                    them is given; with host networking the host's, as below, unless
                                                  another network was asked for
        host networking                           ``-ip``; else the guessed one
        not mapped by the engine                  the container's own, or refused: see ``_address_on_lan``
        anywhere else                             ``-ip``; else the binding's own host address if it is a concrete
                                                  one; else the guessed one
        ========================================  ===================================================================

        Of a container's own addresses an IPv4 one goes before an IPv6 one, unless ``rules.family`` asks for one of
        them. Then only addresses of that family are taken, and only ports published on such addresses are registered.

        With ``-ip-from-container`` no binding counts. Without it, only those bindings of a published port count that
        may answer at the address; see ``Binding.listens_on``. A port with no such binding is refused. The order of the
        bindings is ours, and not the engine's. Of two bindings, the one for which a higher row is true goes first:

        ========================================  ========================================================
        a binding                                 why
        ========================================  ========================================================
        on the address of the label or ``-ip``    it certainly answers there
        on no loopback address                    others can reach it
        on an IPv4 address                        as among a container's own addresses
        on all addresses                          it answers wherever the host is reached
        with the lower port                       so that there is an order
        ========================================  ========================================================
        """
        rules, holder = self.rules, self._network_holder(container)
        own = rules.take_own_address(published=bool(port.bindings))
        bindings = [each for each in port.bindings if not own and rules.family.has(each.address)]
        if port.bindings and not own and not bindings:
            detail = f"it is not published on an {rules.family.name_for_people} address"
            raise RefusedPort(RefusalReason.NO_ADDRESS, detail)
        if label := container.labels.get(rules.label, "") if rules.label else "":
            address, source = _address_in_label(rules, label), f"label {rules.label}"
            place = Place(address, port.port.number, source=source)
            return _places_at(address, source, bindings) if bindings else (place,)
        if not bindings or self._maps_no_port(container):
            return (self._place_in_container(container, holder, port, network, network_variable),)
        return _places_at(rules.ip, _IP_FLAG, bindings) if rules.ip else self._places_without_ip(bindings)

    def _maps_no_port(self, container: Container) -> bool:
        """Return whether none of the container's networks maps ports, as far as the engine said. Engine 20.10 goes on
        to show the ports that it mapped through a network from which the container was disconnected."""
        told = [self.networks.get(container.network_ids.get(name, "")) for name in networks_in_order(container)]
        return bool(told) and all(each and each.maps_no_port for each in told)

    def _place_in_container(
        self, container: Container, holder: Container, port: ServicePort, network: str, network_variable: str
    ) -> Place:
        """Return the place of a port that is not reached through a binding. ``holder`` is the container whose network
        it uses. Raises RefusedPort and NetworkNotTold."""
        rules, number = self.rules, port.port.number
        own = rules.take_own_address(published=bool(port.bindings))
        if container.network_mode == "none":
            reason = RefusalReason.NO_ADDRESS if own else RefusalReason.NOT_PUBLISHED
            raise RefusedPort(reason, "the container has no network")
        asked_for = (network or rules.network) if own else ""
        if holder.network_mode == "host" and asked_for in {"", "host"}:
            return Place(self._host_address, number, source=self._host_address_source)
        if not own and holder is container:
            return Place(self._address_on_lan(container, port.port), number, source=_OWN_ADDRESS)
        asker = network_variable if network else "--network"
        address = _required_own_address(holder, rules.family, asked_for, asker)
        joined = f"the address of container {holder.name!r}, whose network it joins"
        source = _OWN_ADDRESS if holder is container else joined
        return Place(address, number, source=f"{source}, on the network that {asker} asks for" if asked_for else source)

    def _network_holder(self, container: Container) -> Container:
        """Return the container whose network this one uses: itself, or the one at the end of its ``container:`` links.

        Raises RefusedPort if that one does not run, or if a container on the way was started before the one that it
        joins: then it sits in the network that the other one had before, where nobody reaches it. The host's network is
        always the same.
        """
        joiners = self._joiners(container)
        holder = joiners[-1]
        if target := holder.joined:
            detail = f"it joins the network of container {target[:12]}, which is not running"
            raise RefusedPort(RefusalReason.NO_ADDRESS, detail)
        if holder.network_mode != "host":
            _check_order_of_starts(joiners)
        return holder

    def _joiners(self, container: Container) -> list[Container]:
        """Return the container and the ones that its ``container:`` links lead to, as far as they run, each once."""
        joiners = [container]
        while (holder := self.containers.get(joiners[-1].joined)) and holder not in joiners:
            joiners.append(holder)
        return joiners

    def _address_on_lan(self, container: Container, port: PortId) -> str:
        """Return the container's own address at which other hosts reach a port that the engine does not map.

        Raises RefusedPort if it has none, and NetworkNotTold if a network may have one. The networks are looked at in
        their order. Each gives an address or not:

        ==============================================  ==================================================
        a network                                       gives
        ==============================================  ==================================================
        that is internal                                no address: only containers on this network reach it
        of the driver macvlan or ipvlan                 its address
        of the driver bridge, overlay, null or host     no address: others reach only ports that are mapped
        of another driver, or the engine refuses to     no address if the engine was asked to publish the
        say what it is                                  port, as the mapping failed; else its address
        ==============================================  ==================================================
        """
        reasons, reachable = [], False
        for name in networks_in_order(container):
            problem = _network_problem(self._told(container, name), asked_for=port in container.to_publish)
            if problem:
                reasons.append(f"its network {quoted(name)} {problem}")
            elif address := own_address(container, self.rules.family, name):
                return address
            else:
                reachable = True
        if reachable:
            raise _no_own_address(container, self.rules.family)
        nowhere = "no network but swarm's own" if INGRESS in container.networks else "no network"
        why = " and ".join(reasons) or f"the container is on {nowhere}"
        raise RefusedPort(RefusalReason.NOT_PUBLISHED, f"no port of the host leads to it, and {why}")

    def _told(self, container: Container, network: str) -> Network | None:
        """Return what the engine said of the container's network; None if it refuses to say. Raises NetworkNotTold."""
        network_id = container.network_ids.get(network, "")
        if network_id and network_id not in self.networks:
            raise NetworkNotTold(f"the engine has not said yet what its network {quoted(network)} is")
        return self.networks.get(network_id)

    def _places_without_ip(self, bindings: Collection[Binding]) -> tuple[Place, ...]:
        """Return the places of these bindings without ``-ip``: a binding on a concrete address is reached there, and
        one on all addresses at the host's address. Raises RefusedPort."""
        host = self._host_address
        listening = [each for each in bindings if not (each.unspecified and host) or each.listens_on(host)]
        if not listening:
            raise _not_listening(bindings, f"{host}, from where this host reaches etcd; give its address with -ip")
        published = "the address that the port is published on"
        return _distinct(
            (host, self._host_address_source, each) if each.unspecified else (each.address, published, each)
            for each in sorted(listening, key=_binding_order)
        )

    @property
    def _host_address(self) -> str:
        return "" if self.host_address_problem else self.rules.ip or self.rules.guessed

    @property
    def _host_address_source(self) -> str:
        return _IP_FLAG if self.rules.ip else "the address from which this host reaches etcd"


def _check_order_of_starts(joiners: Sequence[Container]) -> None:
    """Raise RefusedPort if one of the containers, each of which joins the network of the next, was started before the
    next."""
    for joiner, holder in pairwise(joiners):
        if holder.started_after(joiner):
            who = "it" if joiner is joiners[0] else f"container {joiner.name!r}, whose network it joins,"
            cure = "restart it" if joiner is joiners[0] else f"restart {joiner.name!r}, and then this container"
            detail = f"{who} joined the network that container {holder.name!r} had before its last start; {cure}"
            raise RefusedPort(RefusalReason.NO_ADDRESS, detail)


def _places_at(address: str, source: str, bindings: Collection[Binding]) -> tuple[Place, ...]:
    """Return the places of these bindings at an address that ``source`` gives. Raises RefusedPort if none of them
    answers there."""
    listening = [each for each in bindings if each.listens_on(address)]
    if not listening:
        raise _not_listening(bindings, address)
    ordered = sorted(listening, key=lambda each: (not same_address(each.address, address), *_binding_order(each)))
    return _distinct((address, source, each) for each in ordered)


def _distinct(reached: Iterable[tuple[str, str, Binding]]) -> tuple[Place, ...]:
    """Return the places of bindings without repeating a place. Each binding stands behind the address at which it is
    reached and what gives that address."""
    found: dict[tuple[str, int], Place] = {}
    for address, source, each in reached:
        found.setdefault((address, each.port), Place(address, each.port, binding_suffix(each), source))
    return tuple(found.values())


def _binding_order(binding: Binding) -> tuple[bool, bool, bool, int, str]:
    """Return the sort key of a binding; see ``AddressBook.places_of``."""
    family = not Family.IPV4.has(binding.address)
    return binding.loopback, family, not binding.unspecified, binding.port, binding.address


def _not_listening(bindings: Collection[Binding], address: str) -> RefusedPort:
    """Return the refusal of a port that is published, but not on the address that is to be registered."""
    published_on = " and ".join(sorted({each.address or ALL_IPV4 for each in bindings}))
    return RefusedPort(RefusalReason.NO_ADDRESS, f"it is published on {published_on} alone, and not on {address}")


def networks_in_order(container: Container) -> tuple[str, ...]:
    """Return the names of the networks that may give the container's own address, in the order in which they are looked
    at: the one that it was started on, the default bridge, and then the others by name. Swarm's network for published
    ports is left out, because nobody can dial its addresses."""
    order = dict.fromkeys([container.network_mode, BRIDGE, *sorted(container.networks)])
    known = {*container.networks, *([BRIDGE] if any(_addresses_on(container, BRIDGE)) else [])} - {INGRESS}
    return tuple(name for name in order if name in known)


def networks_in_question(containers: Iterable[Container]) -> frozenset[str]:
    """Return the ids of the networks that decide about a port: those of each container with a service port, unless it
    uses the network of the host or of another container, or has none."""
    return frozenset(
        network_id
        for container in containers
        if not container.joined and container.network_mode not in {"host", "none"}
        if service_ports(container, internal=False)
        for name in networks_in_order(container)
        if (network_id := container.network_ids.get(name, ""))
    )


def own_address(container: Container, family: Family = Family.ANY, network: str = "") -> str:
    """Return the container's own address, or an empty string if it has none.

    Only ``network`` is looked at where it is given, and otherwise the networks in their order. On each network the
    families are taken in their order, IPv4 first unless ``family`` asks for one of them.
    """
    for name in [network] if network else networks_in_order(container):
        ipv4, ipv6 = _addresses_on(container, name)
        for each in family.in_order:
            if address := ipv6 if each is Family.IPV6 else ipv4:
                return address
    return ""


def _addresses_on(container: Container, network: str) -> tuple[str, str]:
    """Return the container's IPv4 and IPv6 address on a network; empty where it has none that others can dial."""
    if network == INGRESS:
        return "", ""
    ipv4, ipv6 = container.networks.get(network, ""), container.networks_ipv6.get(network, "")
    return (ipv4 or container.address, ipv6 or container.address_ipv6) if network == BRIDGE else (ipv4, ipv6)


def _address_in_label(rules: AddressRules, value: str) -> str:
    address = value.rpartition("/")[0] if "/" in value else value
    problem = address_problem(address)
    if not problem and not rules.family.has(address):
        problem = f"is not an {rules.family.name_for_people} address"
    if problem:
        raise RefusedPort(RefusalReason.BAD_ADDRESS, f"label {rules.label}={quoted(value)} {problem}")
    return address


def _network_problem(told: Network | None, *, asked_for: bool) -> str:
    """Return why others do not reach a container at its address on a network; an empty string if they may. ``told`` is
    what the engine said of the network. ``asked_for`` says whether the engine was to publish the port."""
    if told and told.inner:
        return f"is {told.name_for_people}"
    if not asked_for or (told and told.on_lan):
        return ""
    return f"has the driver {quoted(told.driver)}, which maps no port" if told else "is not described by the engine"


def _required_own_address(container: Container, family: Family, network: str, asker: str) -> str:
    """Return the container's own address, as ``own_address`` does. Raises RefusedPort where it has none. ``asker`` is
    the flag or the variable that asks for ``network``."""
    if address := own_address(container, family, network):
        return address
    raise _no_own_address(container, family, network, asker)


def _no_own_address(container: Container, family: Family, network: str = "", asker: str = "") -> RefusedPort:
    """Return the refusal of a port whose container has no address of its own, or none on this network."""
    asked_for = f"the network {quoted(network)}, which {asker} asks for"
    if network == INGRESS:
        missing = f"has no address of its own on {asked_for}; it is swarm's, and nobody can dial its addresses"
    elif network and network not in container.networks:
        missing = f"is not on {asked_for}"
    else:
        kind = f"{family.name_for_people} address".lstrip()
        missing = f"has no {kind} on {asked_for}" if network else f"has no {kind} of its own"
    return RefusedPort(RefusalReason.NO_ADDRESS, f"container {container.name!r} {missing}")


def _guess_problem(rules: AddressRules, containers: Iterable[Container]) -> str | None:
    """Return why the guessed address can only be wrong, or None. Nobody else can dial this host's loopback, and an
    address of a container (the agent's own, when it runs in one without ``--net=host``) is not the host's."""
    guess = rules.guessed
    if not guess:
        return "no address of this host is known"
    if ip_address(guess).is_loopback or ip_address(guess).is_unspecified:
        return f"this host reaches etcd from {guess}, which nobody else can dial"
    if any(_has_address(each, guess) for each in containers):
        return f"this host reaches etcd from {guess}, which is a container's address"
    if not rules.family.has(guess):
        return f"this host reaches etcd from {guess}, which is not an {rules.family.name_for_people} address"
    return None


def _has_address(container: Container, address: str) -> bool:
    own = address in {container.address, container.address_ipv6}
    return own or address in container.networks.values() or address in container.networks_ipv6.values()
