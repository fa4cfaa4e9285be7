"""Which ports of a container are service ports."""

from __future__ import annotations

from attrs import frozen

from model.container import Binding, Container, PortId


@frozen
class ServicePort:
    """A port to register. ``binding`` is where the host publishes it; None means that the engine does not map the
    port, so that it answers under its own number at the container's (or, with host networking, the host's) address."""

    port: PortId
    binding: Binding | None = None

    @property
    def host_port(self) -> int:
        """The port number to dial from outside."""
        return self.binding.port if self.binding else self.port.number


def service_ports(container: Container, *, internal: bool) -> tuple[ServicePort, ...]:
    """The container's service ports, sorted.

    Published ports count, and exposed ports that the engine does not map (see ``Container.published``). With
    ``internal``, every exposed port counts, published or not. Source: registrator's ``bridge.add``.
    """
    mapped = container.published
    ports = [ServicePort(port, binding) for port, binding in mapped.items() if binding or internal]
    if internal or _bypasses_mapping(container):
        ports += [ServicePort(port) for port in container.exposed if port not in mapped]
    return tuple(sorted(ports, key=lambda each: each.port))


def _bypasses_mapping(container: Container) -> bool:
    """Whether an unmapped exposed port can be dialled. On the default bridge the engine lists every exposed port, so
    one that is missing there says nothing; a container without a network answers nobody."""
    return container.network_mode not in {"default", "bridge"}
