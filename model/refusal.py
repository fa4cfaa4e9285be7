"""Refusals: service ports that are not registered, each with its reason."""

from __future__ import annotations

from attrs import frozen

from model.container import ContainerPort, ContainerRef
from model.described import DescribedEnum


class RefusalReason(DescribedEnum):
    """Why a port that should be registered is not. The list is closed: metrics, log, output and docs share it."""

    BAD_NAME = (
        "bad-name",
        "The service's name cannot be part of a key, or of a DNS name with skydns2:// or skydns3://, or would make the "
        "container a name server of the zone, or --strict-names does not allow it.",
    )
    BAD_ID = (
        "bad-id",
        "The SERVICE_ID cannot be part of a key, has the form of an id of another host or container, does not fit into "
        "the owner record, would make the container a name server of the zone, or is not allowed by --strict-names.",
    )
    BAD_PORT = (
        "bad-port",
        "The container exposes or publishes something that is no port, or a range of more than 100 ports.",
    )
    BAD_ADDRESS = "bad-address", "The label that -useIpFromLabel names holds no address that can be registered."
    BAD_ATTRIBUTE = (
        "bad-attribute",
        "The SERVICE_ attributes or tags make a value that the layout cannot write, or a template in the tags is bad.",
    )
    NO_ADDRESS = (
        "no-address",
        "There is no address under which others reach the port. If only this host's address is missing, the keys that "
        "are already registered are held.",
    )
    NOT_PUBLISHED = (
        "not-published",
        "The engine does not map the port to one of the host, and the container has no address that other hosts reach.",
    )
    DUPLICATE = "duplicate", "Another container of this host, or another port of this one, already has the key."
    CONFLICT = (
        "conflict",
        "The key, or one above or below it, is in etcd already and cannot be shown to be this host's, or the key lies "
        "below a prefix that has agents of its own.",
    )


@frozen
class RefusedPort(Exception):
    """A port cannot be registered. Every rule that refuses one raises this; ``desired`` and ``plan`` make a refusal of
    it."""

    reason: RefusalReason
    #: Why, for people. It names the culprit and, where there is one, the cure.
    detail: str

    def of(self, container: ContainerRef, port: ContainerPort) -> Refusal:
        """Return the refusal of this port of this container."""
        return Refusal(container, port, self.reason, self.detail)


@frozen
class Refusal:
    """A service port that is not registered, and why."""

    container: ContainerRef
    port: ContainerPort
    reason: RefusalReason
    #: Why, for people. It names the culprit and, where there is one, the cure.
    detail: str
