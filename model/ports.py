"""Which ports of a container are service ports."""

from __future__ import annotations

from attrs import evolve, frozen

from model.container import Binding, Container, PortId
from model.entry import binding_suffix
from model.family import Family


@frozen
class ServicePort:
    """A port to register. ``binding`` is where the host publishes it; None means that the engine does not map the
    port, so that it answers under its own number at the container's (or, with host networking, the host's) address.
    ``others`` are its further bindings. ``mark`` tells one that stands for such a binding from the others, in its id.
    """

    port: PortId
    binding: Binding | None = None
    others: tuple[Binding, ...] = ()
    id_suffix: str = ""

    @property
    def host_port(self) -> int:
        """The port number to dial from outside."""
        return self.binding.port if self.binding else self.port.number

    def each_binding(self) -> tuple[ServicePort, ...]:
        """The port itself, and as it is published by each of its further bindings, in an order of our own: the engine's
        order decides which is the first, and nothing else. Of two that come to the same always the same one counts."""
        others = sorted(set(self.others), key=_our_order)
        return (self, *(evolve(self, binding=each, others=(), id_suffix=binding_suffix(each)) for each in others))


def service_ports(container: Container, *, internal: bool, family: Family = Family.ANY) -> tuple[ServicePort, ...]:
    """The container's service ports, sorted.

    Published ports count, and exposed ports that the engine does not map (see ``Container.published``). With
    ``internal``, every exposed port counts, published or not. Source: registrator's ``bridge.add``, which takes the
    first binding of each.

    Only bindings of the ``family`` count; where the first is of the other one, our own order says which is. A port that
    has none of them is a service port all the same, with the first one that it has: it has no address that could be
    registered, and whoever asks for its address is told so.
    """
    mapped = container.published
    ports = [_published(port, bindings, family) for port, bindings in mapped.items() if bindings or internal]
    if internal or _bypasses_mapping(container):
        ports += [ServicePort(port) for port in container.exposed if port not in mapped]
    return tuple(sorted(ports, key=lambda each: each.port))


def _published(port: PortId, bindings: tuple[Binding, ...], family: Family) -> ServicePort:
    counted = [each for each in bindings if family.has(each.address)] or [*bindings[:1]]
    if not counted:
        return ServicePort(port)
    first = bindings[0] if bindings[0] in counted else min(counted, key=_our_order)
    return ServicePort(port, first, tuple(each for each in counted if each != first))


def _our_order(binding: Binding) -> tuple[int, bool, str]:
    """By port, and those on all addresses before those on one."""
    return binding.port, not binding.unspecified, binding.address


def _bypasses_mapping(container: Container) -> bool:
    """Whether an unmapped exposed port can be dialled. On the default bridge the engine lists every exposed port, so
    one that is missing there says nothing; a container without a network answers nobody."""
    return container.network_mode not in {"default", "bridge"}
