"""The errors of etcd's v3 API. What the client does with a real etcd: contract/test_etcd_v3 and test_failover."""

from __future__ import annotations

import pytest

from controller.registry.etcd_v3.client import EtcdV3Error, GrpcStatus


def test_the_message_of_an_error_is_what_etcd_said() -> None:
    """It goes into an outcome's detail, where a tuple of all fields would help nobody."""
    error = EtcdV3Error(GrpcStatus.NOT_FOUND, "etcdserver: requested lease not found")
    assert str(error) == "etcdserver: requested lease not found"


@pytest.mark.parametrize(
    ("code", "message", "full", "divisible", "stale_token"),
    [
        (GrpcStatus.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", True, False, False),
        (GrpcStatus.PERMISSION_DENIED, "etcdserver: permission denied", False, True, False),
        (GrpcStatus.INVALID_ARGUMENT, "etcdserver: too many operations in txn request", False, True, False),
        (GrpcStatus.INVALID_ARGUMENT, "etcdserver: request is too large", False, True, False),
        (GrpcStatus.UNAUTHENTICATED, "etcdserver: invalid auth token", False, False, True),
        (GrpcStatus.INVALID_ARGUMENT, "etcdserver: user name is empty", False, False, True),
        (GrpcStatus.INVALID_ARGUMENT, "etcdserver: revision of auth store is old", False, False, True),
        (GrpcStatus.NOT_FOUND, "etcdserver: requested lease not found", False, False, False),
    ],
    ids=str,
)
def test_an_error_says_what_may_help(
    code: GrpcStatus, message: str, full: bool, divisible: bool, stale_token: bool
) -> None:
    """Deletes may still be possible, the request may succeed in parts, or after signing in again."""
    error = EtcdV3Error(code, message)
    assert (error.full, error.divisible, error.stale_token) == (full, divisible, stale_token)
