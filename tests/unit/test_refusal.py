"""Tests of model.refusal: why a port is not registered."""

from __future__ import annotations

from model.container import ContainerRef
from model.refusal import Refusal, RefusalReason, RefusedPort
from tests.support.builders import port


def test_a_refused_port_becomes_a_refusal_with_the_same_reason_and_detail() -> None:
    """The refusal also names the container and the port."""
    refused = RefusedPort(RefusalReason.BAD_NAME, "SERVICE_NAME '..' has the path part '..'")
    container = ContainerRef("id-web", "web")
    assert refused.of(container, port("80/tcp")) == Refusal(container, port("80/tcp"), refused.reason, refused.detail)


def test_the_refusal_reasons_are_a_closed_list() -> None:
    """Log, metrics, output and docs share these words."""
    assert [reason.value for reason in RefusalReason] == [
        "bad-name",
        "bad-id",
        "bad-port",
        "bad-address",
        "bad-attribute",
        "no-address",
        "not-published",
        "duplicate",
        "conflict",
    ]
