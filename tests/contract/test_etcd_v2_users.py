"""Users and passwords of etcd's v2 API, and the error where etcd does not serve it. TLS: test_tls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from controller.registry.credentials import Credentials
from tests.support.builders import OWNER, create
from tests.support.captured_logs import capture_logs
from tests.support.etcd_server import EtcdServer, serves_v2
from tests.support.secure_etcd import Setting, WithoutV2, add_user, authority, problem, soon, works

pytestmark = pytest.mark.every_etcd

PASSWORD = "correct horse: battery/staple?ü€日"


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """An etcd that asks for a user name and a password."""
    server = EtcdServer().start()
    add_user(server, "agent", PASSWORD)
    ours = authority(tmp_path_factory.mktemp("pki") / "ours")
    yield Setting(server, Credentials(user="agent", password=PASSWORD), ours)
    server.close()


@pytest.mark.v2
def test_the_right_user_and_password_are_accepted(users: Setting) -> None:
    """The password may have any characters."""
    assert works(users.registry(users.good))


@pytest.mark.v2
@pytest.mark.parametrize(
    "credentials",
    [Credentials(), Credentials(user="agent", password="wr0ng"), Credentials(user="nobody", password=PASSWORD)],
    ids=["none", "wrong password", "unknown user"],
)
def test_other_credentials_are_refused_with_a_clear_error(users: Setting, credentials: Credentials) -> None:
    """The error says what is missing, and does not contain the password."""
    text = problem(users.registry(credentials))
    assert "requires user authentication" in text
    assert [word for word in ("wr0ng", PASSWORD) if word in text] == []


@pytest.mark.v2
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_the_password_is_never_shown(users: Setting, right: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It is in no log line of the program or of the libraries, at any level, and in no ``repr``."""
    caplog.set_level(0)
    secret = PASSWORD if right else "wr0ng"
    credentials = evolve(users.good, password=secret)
    with capture_logs() as lines:
        registry = users.registry(credentials)
        outcome = registry.apply(OWNER, create("/services/x/core-01:web:80"), soon())
    shown = [repr(credentials), str(credentials), repr(outcome), repr(lines), caplog.text]
    assert [each for each in shown if secret in each] == []


def test_an_etcd_without_the_v2_api_says_so(tmp_path: Path) -> None:
    """The error also says what to do: etcd has not served it since 3.4 unless it is told to, and has none since 3.6."""
    server = WithoutV2().start()
    try:
        text = problem(Setting(server, Credentials(), authority(tmp_path / "ours")).registry(Credentials()))
        if serves_v2():
            assert "and its v2 API is off; start it with --enable-v2, or use etcd3://" in text
        else:
            assert "and etcd has no v2 API since 3.6; use etcd3://" in text
        assert "newer registrators mean the v3 API by etcd://" in text
    finally:
        server.close()
