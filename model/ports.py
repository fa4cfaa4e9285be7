"""Which ports of a container are service ports."""

from __future__ import annotations

from attrs import frozen

from model.container import BadPort, Binding, Container, ContainerPort, PortId, port_order

#: The names of the engines' default bridges: Docker's, and podman's.
_DEFAULT_BRIDGES = frozenset({"bridge", "podman"})


@frozen
class ServicePort:
    """A port to register."""

    port: PortId
    #: Where the host publishes it. None: the engine does not map the port, so it answers under its own number at the
    #: container's address, or with host networking at the host's.
    bindings: tuple[Binding, ...] = ()


def service_ports(container: Container, *, internal: bool) -> tuple[ServicePort, ...]:
    """Return the container's service ports, sorted.

    Published ports count, and exposed ports that the engine does not map (see ``unmapped_ports``). With ``internal``
    every exposed port counts, published or not. Source: registrator's ``bridge.add``.
    """
    ports = _counted_ports(container, internal=internal)
    return tuple(
        ServicePort(port, () if internal else container.published.get(port, ()))
        for port in ports
        if isinstance(port, PortId)
    )


def bad_ports(container: Container, *, internal: bool) -> tuple[BadPort, ...]:
    """Return what would be service ports of the container by the rules of ``service_ports``, and is no port."""
    ports = _counted_ports(container, internal=internal)
    return tuple(port for port in ports if isinstance(port, BadPort))


def unpublished_ports(container: Container, *, internal: bool) -> tuple[ContainerPort, ...]:
    """Return the container's ports that are no service ports by the rules of ``service_ports``, because nobody asked to
    publish them, sorted."""
    counted = {*_counted_ports(container, internal=internal)}
    return tuple(sorted({*container.published, *container.exposed} - counted, key=port_order))


def _counted_ports(container: Container, *, internal: bool) -> list[ContainerPort]:
    """Return the ports that count, sorted."""
    if internal:
        return sorted({*container.published, *container.exposed}, key=port_order)
    mapped = (port for port, bindings in container.published.items() if bindings)
    return sorted({*mapped, *unmapped_ports(container)}, key=port_order)


def unmapped_ports(container: Container) -> frozenset[ContainerPort]:
    """Return the ports that the engine was to publish and does not map, and the exposed ports that it does not manage.

    The default bridge shows every exposed port as managed. So there an exposed port that is missing, and that nobody
    asked to publish, cannot be dialled and does not count.
    """
    managed = {port for port, bindings in container.published.items() if bindings or port not in container.to_publish}
    on_default_bridge = container.network_mode in {"default", "bridge"}
    shown = on_default_bridge and (not container.networks or not _DEFAULT_BRIDGES.isdisjoint(container.networks))
    return frozenset({*container.to_publish, *(() if shown else container.exposed)} - managed)
