"""The errors of etcd's v2 API. What the client does with a real etcd: contract/test_etcd_v2 and test_failover."""

from __future__ import annotations

from controller.registry.etcd_v2.client import EtcdV2Error, EtcdV2ErrorCode
from model.stored import StorePosition


def test_the_message_of_an_error_is_what_etcd_said() -> None:
    """It goes into an outcome's detail, where a tuple of all fields would help nobody."""
    error = EtcdV2Error(EtcdV2ErrorCode.KEY_EXISTS, "Key already exists: /a (etcd error 105)", StorePosition("c1", 7))
    assert str(error) == "Key already exists: /a (etcd error 105)"
