"""Which ports of a container are service ports."""

from __future__ import annotations

from attrs import evolve, frozen

from model.container import BadPort, Binding, Container, ContainerPort, PortId, port_order
from model.entry import binding_suffix
from model.family import Family


@frozen
class ServicePort:
    """A port to register, as it is published by one binding."""

    port: PortId
    #: Where the host publishes it. None: the engine does not map the port, so it answers under its own number at the
    #: container's address, or with host networking at the host's.
    binding: Binding | None = None
    #: Its further bindings.
    other_bindings: tuple[Binding, ...] = ()
    #: What is added to the id for a further binding; empty for the first one.
    id_suffix: str = ""

    @property
    def host_port(self) -> int:
        """The port number to dial from outside."""
        return self.binding.port if self.binding else self.port.number

    def each_binding(self) -> tuple[ServicePort, ...]:
        """Return the port itself, and once more for each further binding.

        The further ones are sorted, so that of two bindings that give the same entry always the same one is taken. The
        engine's order decides only which binding is the first.
        """
        others = sorted(set(self.other_bindings), key=_binding_order)
        return (
            self,
            *(evolve(self, binding=each, other_bindings=(), id_suffix=binding_suffix(each)) for each in others),
        )


def service_ports(container: Container, *, internal: bool, family: Family = Family.ANY) -> tuple[ServicePort, ...]:
    """Return the container's service ports, sorted.

    Published ports count, and exposed ports that the engine does not map (see ``Container.published``). With
    ``internal`` every exposed port counts, published or not. Source: registrator's ``bridge.add``, which takes the
    first binding of each port.

    Only bindings of the ``family`` count. Where the engine's first binding is of the other family, our own order says
    which is the first. A port without a binding of the family is a service port all the same, with the first binding
    that it has; whoever asks for its address is told that it has none.
    """
    ports = _counted_ports(container, internal=internal)
    return tuple(
        _published(port, container.published.get(port, ()), family) for port in ports if isinstance(port, PortId)
    )


def bad_ports(container: Container, *, internal: bool) -> tuple[BadPort, ...]:
    """Return what would be service ports of the container by the rules of ``service_ports``, and is no port."""
    ports = _counted_ports(container, internal=internal)
    return tuple(port for port in ports if isinstance(port, BadPort))


def _counted_ports(container: Container, *, internal: bool) -> list[ContainerPort]:
    """Return the published ports, and the exposed ones that count, sorted."""
    ports = [port for port, bindings in container.published.items() if bindings or internal]
    # On the default bridge the engine lists every exposed port, so one that is missing there cannot be dialled. A
    # container without a network is refused later, when its address is asked for.
    if internal or container.network_mode not in {"default", "bridge"}:
        ports += [port for port in container.exposed if port not in container.published]
    return sorted(ports, key=port_order)


def _published(port: PortId, bindings: tuple[Binding, ...], family: Family) -> ServicePort:
    counted = [each for each in bindings if family.has(each.address)] or [*bindings[:1]]
    if not counted:
        return ServicePort(port)
    first = bindings[0] if bindings[0] in counted else min(counted, key=_binding_order)
    return ServicePort(port, first, tuple(each for each in counted if each != first))


def _binding_order(binding: Binding) -> tuple[int, bool, str]:
    """Sort by port, and bindings on all addresses before those on one."""
    return binding.port, not binding.unspecified, binding.address
