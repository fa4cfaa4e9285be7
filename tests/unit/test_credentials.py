"""The TLS context and the user of a registry. Against a real etcd: contract/test_tls."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from attrs import evolve

from controller.errors import Stop
from controller.registry.credentials import Credentials, CurrentCredentials
from tests.support.secure_etcd import authority


def test_without_tls_there_is_no_context() -> None:
    """Connections are made without TLS then."""
    assert CurrentCredentials(Credentials()).context() is None


@pytest.mark.parametrize("given", [False, True], ids=["the system's", "a CA"])
def test_servers_are_always_verified(tmp_path: Path, given: bool) -> None:
    """Both the certificate and the name are verified. A CA that is given is the only one that is trusted."""
    ca = authority(tmp_path / "ours").path if given else ""
    context = CurrentCredentials(Credentials(tls=True, ca=ca)).context()
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    if given:
        assert len(context.get_ca_certs()) == 1


def test_a_client_certificate_needs_its_own_key(tmp_path: Path) -> None:
    """The program stops at its start if it is given the key of another certificate."""
    ours = authority(tmp_path / "ours")
    one, other = ours.issue("one.example"), ours.issue("other.example")
    good = Credentials(True, ours.path, one.cert, one.key)
    assert CurrentCredentials(good).context()
    with pytest.raises(Stop, match=r"the TLS files cannot be used \(.*one\.example\.pem.*other\.example-key\.pem"):
        CurrentCredentials(evolve(good, key=other.key))


def test_the_password_is_not_in_the_representation() -> None:
    """The name of the user is."""
    shown = repr(Credentials(user="agent", password="secret"))
    assert "agent" in shown
    assert "secret" not in shown
