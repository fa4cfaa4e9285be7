"""The TLS contexts of the program."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from controller.effects.tls import verifying_context
from tests.support.secure_etcd import authority

CONTROLLER = Path(__file__).parents[2] / "controller"


@pytest.mark.parametrize("given", [False, True], ids=["the system's", "a CA"])
def test_old_versions_of_tls_are_not_spoken(tmp_path: Path, given: bool) -> None:
    """Not even where Python was built so that it leaves the version to OpenSSL's configuration, as Debian's is."""
    context = verifying_context(authority(tmp_path / "ours").path if given else "")
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_every_python_takes_the_same_certificates() -> None:
    """From 3.13 on, Python would refuse those of private authorities that lack what etcd and Docker do not ask for."""
    assert not verifying_context().verify_flags & ssl.VERIFY_X509_STRICT


def test_no_other_module_makes_a_context() -> None:
    """It would speak what Python and OpenSSL happen to allow."""
    makers = [file for file in CONTROLLER.rglob("*.py") if "create_default_context" in file.read_text()]
    assert [file.name for file in makers] == ["tls.py"]
