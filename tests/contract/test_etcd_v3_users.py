"""Users and passwords of etcd's v3 API, and what there is to say where it is not served. TLS: test_tls."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve, frozen
from structlog.testing import capture_logs

from controller.errors import RegistryUnavailable
from controller.registry.base import Registry
from controller.registry.credentials import Credentials
from model.plan import Action, Change, Reason
from model.record import ROOT, RecordKeys
from model.report import Result
from model.stored import Lifetime
from tests.support.builders import OWNER, change, create
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3, EtcdV3Error
from tests.support.secure_etcd import KEY, Flagged, Setting, TlsEtcd, V3Users, authority, problem, soon, works
from tests.support.waiting import wait_until

PASSWORD = "correct horse: battery/staple?ü€日"
GOOD = Credentials(user="agent", password=PASSWORD)
EVERYTHING = (("READWRITE", "/services"), ("READWRITE", ROOT))


@frozen
class Guarded:
    """An etcd with a user ``agent`` who may do what an agent has to, and not yet asking for one."""

    setting: Setting
    users: V3Users

    def registry(self, credentials: Credentials = GOOD, lifetime: Lifetime = Lifetime()) -> Registry:
        """The registry of this user, or another."""
        return self.setting.registry(credentials, lifetime=lifetime)

    @property
    def server(self) -> EtcdServer:
        """The etcd."""
        return self.setting.server


def guarded(server: EtcdServer, folder: Path) -> Guarded:
    """Started, and with its user."""
    users = V3Users(server.start())
    users.add("agent", PASSWORD, *EVERYTHING)
    return Guarded(Setting(server, GOOD, authority(folder / "ours"), api=3), users)


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One that asks for a user and a password; not to be changed."""
    server = EtcdServer()
    try:
        found = guarded(server, tmp_path_factory.mktemp("pki"))
        found.users.enable()
        yield found
    finally:
        server.close()


@pytest.fixture
def open_etcd(tmp_path: Path) -> Iterator[Guarded]:
    """One of the test's own that does not ask."""
    server = EtcdServer()
    try:
        yield guarded(server, tmp_path)
    finally:
        server.close()


def test_user_and_password_are_what_it_takes(users: Guarded) -> None:
    """Whatever characters the password has."""
    assert works(users.registry())


def test_the_role_needs_no_more_than_the_prefix_and_our_shelf(users: Guarded) -> None:
    """With a lifetime, too: a lease is granted, kept alive and asked about, and records are written and read."""
    registry = users.registry(lifetime=Lifetime(60, 50))
    assert registry.apply(OWNER, create("/services/leased/core-01:web:80"), soon()).result is Result.APPLIED
    record = Change(Action.RECORD, RecordKeys("/services").record(OWNER), "record", None, Reason.CLAIMS)
    assert registry.apply(OWNER, record, soon()).result is Result.APPLIED
    actual = registry.read(OWNER, soon())
    leased = actual.stored["/services/leased/core-01:web:80"]
    assert leased.ttl in range(50, 61)
    assert actual.record is not None
    assert registry.apply(OWNER, change(Action.RENEW, leased, leased.value), soon()).result is Result.APPLIED
    assert registry.other_records(OWNER, soon()) == ()


@pytest.mark.parametrize(
    ("credentials", "says"),
    [
        (Credentials(), "user name is empty (etcd asks for a user; give --etcd-user and its password)"),
        (Credentials(user="agent", password="wr0ng"), "invalid user ID or password (see --etcd-user and its password)"),
        (Credentials(user="nobody", password=PASSWORD), "invalid user ID or password (see --etcd-user and its passw"),
    ],
    ids=["none", "wrong password", "unknown user"],
)
def test_others_are_refused_with_a_clear_error(users: Guarded, credentials: Credentials, says: str) -> None:
    """Which says what is missing, and no password."""
    text = refusal(users.registry(credentials))
    assert says in text
    assert [word for word in ("wr0ng", PASSWORD) if word in text] == []


def refusal(registry: Registry) -> str:
    """What etcd refuses a read with; a write is refused alike."""
    with pytest.raises(RegistryUnavailable, match=r"^cannot read /services: ") as unavailable:
        registry.read(OWNER, soon(), consistent=True)
    outcome = registry.apply(OWNER, create(KEY), soon())
    assert outcome.result is Result.FAILED
    assert str(unavailable.value).endswith(outcome.detail)
    return str(unavailable.value)


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_the_password_is_never_told(users: Guarded, right: bool, caplog: pytest.LogCaptureFixture) -> None:
    """In no log line of ours or the libraries', at any level, and in no representation; nor is the token."""
    for name in ("", "urllib3", "urllib3.connectionpool"):
        caplog.set_level(logging.DEBUG, name)
    secret = PASSWORD if right else "wr0ng"
    credentials = evolve(GOOD, password=secret)
    with capture_logs() as lines:
        registry = users.registry(credentials)
        outcome = registry.apply(OWNER, create("/services/x/core-01:web:80"), soon())
    told = [repr(credentials), str(credentials), repr(registry), repr(outcome), repr(lines), caplog.text]
    assert [each for each in told if secret in each or "Authorization" in each] == []
    assert caplog.text


def test_a_user_is_no_hindrance_where_etcd_asks_for_none(open_etcd: Guarded) -> None:
    """And none is needed."""
    assert works(open_etcd.registry())
    assert works(open_etcd.registry(Credentials()))


def test_an_etcd_that_begins_to_ask_and_ceases_to_is_followed(open_etcd: Guarded) -> None:
    """The agent that runs meanwhile signs in by itself; one without a user is told so."""
    registry, without = open_etcd.registry(), open_etcd.registry(Credentials())
    assert works(registry)
    assert works(without)
    open_etcd.users.enable()
    assert works(registry)
    assert "user name is empty" in refusal(without)
    open_etcd.users.disable()
    assert works(registry)
    assert works(without)


def test_a_token_that_etcd_forgot_is_asked_for_anew(open_etcd: Guarded) -> None:
    """As etcd forgets all of them when it restarts, and one that was not used for some minutes."""
    open_etcd.users.enable()
    registry, other = open_etcd.registry(), open_etcd.users.token("agent", PASSWORD)
    assert works(registry)
    assert open_etcd.users.knows(other)
    open_etcd.server.restart()
    assert not open_etcd.users.knows(other)
    assert registry.apply(OWNER, create("/services/new/core-01:web:80"), soon()).result is Result.APPLIED
    open_etcd.server.restart()
    assert "/services/new/core-01:web:80" in registry.read(OWNER, soon()).stored


@pytest.fixture
def signing(tmp_path: Path) -> Iterator[Guarded]:
    """An etcd that signs its tokens (JWT), for two seconds each, and does ask."""
    key = tmp_path / "signing-key"
    key.write_text("a key of some length, for a test")
    server = Flagged(f"--auth-token=jwt,priv-key={key},sign-method=HS256,ttl=2s")
    try:
        found = guarded(server, tmp_path)
        found.users.enable()
        yield found
    finally:
        server.close()


def test_a_token_that_expired_is_asked_for_anew(signing: Guarded) -> None:
    """One that was given after it has expired, so it has."""
    registry = signing.registry()
    assert works(registry)
    later = signing.users.token("agent", PASSWORD)
    wait_until(lambda: not signing.users.knows(later), 10, "the token to expire")
    assert registry.apply(OWNER, create("/services/new/core-01:web:80"), soon()).result is Result.APPLIED
    assert "/services/new/core-01:web:80" in registry.read(OWNER, soon()).stored


def test_a_token_from_before_a_change_of_the_roles_is_asked_for_anew(signing: Guarded) -> None:
    """A signed token says which state of users and roles it is for; etcd takes it for no other."""
    registry = signing.registry()
    assert works(registry)
    signing.users.grant("agent", "READ", "/elsewhere")
    assert registry.apply(OWNER, create("/services/new/core-01:web:80"), soon()).result is Result.APPLIED
    signing.users.grant("agent", "READ", "/elsewhere/too")
    assert "/services/new/core-01:web:80" in registry.read(OWNER, soon()).stored


def test_a_permission_that_is_taken_away_and_given_back_is_felt_at_once(open_etcd: Guarded) -> None:
    """Without a restart of the agent: the error says what to grant."""
    open_etcd.users.enable()
    registry = open_etcd.registry()
    assert works(registry)
    open_etcd.users.deny("agent", "/services")
    assert "(grant the user's role readwrite on the prefix and on /_wharfinger)" in refusal(registry)
    open_etcd.users.grant("agent", "READWRITE", "/services")
    assert works(registry)


@pytest.mark.parametrize("lacks", ["/services", ROOT])
def test_permission_denied_says_what_to_grant(users: Guarded, lacks: str) -> None:
    """For a user who may do nothing there: the prefix alone does not do, nor does our shelf alone."""
    name = f"without {lacks}"
    users.users.add(name, "secret", *(each for each in EVERYTHING if each[1] != lacks))
    with pytest.raises(RegistryUnavailable) as unavailable:
        users.registry(Credentials(user=name, password="secret")).read(OWNER, soon())
    assert str(unavailable.value) == (
        "cannot read /services: etcdserver: permission denied "
        "(grant the user's role readwrite on the prefix and on /_wharfinger)"
    )


def test_one_key_that_may_not_be_written_does_not_hold_up_its_neighbours(users: Guarded) -> None:
    """etcd refuses a transaction as a whole; what may be written is written, and the one says why it is not."""
    users.users.add("partly", "secret", ("READ", "/services"), ("READWRITE", ROOT))
    for name in ("a", "c", "d", "e"):
        users.users.grant("partly", "READWRITE", f"/services/{name}")
    registry = users.registry(Credentials(user="partly", password="secret"))
    changes = [create(f"/services/{name}/core-01:web:80") for name in "abcde"]
    outcomes = {each.change.key: each for each in registry.apply_all(OWNER, changes, soon())}
    refused = outcomes.pop("/services/b/core-01:web:80")
    assert refused.result is Result.FAILED
    assert "permission denied (grant " in refused.detail
    assert {each.result for each in outcomes.values()} == {Result.APPLIED}
    stored = registry.read(OWNER, soon()).stored
    assert [each.key in stored for each in changes] == [True, False, True, True, True]


@pytest.mark.parametrize("own", [False, True], ids=["the server's certificate", "one of its own"])
def test_a_gateway_that_etcd_does_not_let_in_says_what_it_needs(tmp_path: Path, own: bool) -> None:
    """With client certificates, the gateway is a client, too: it shows etcd the server's certificate, which may be good
    for servers alone, or the one that it was given. The v2 API does not care."""
    ours = authority(tmp_path / "ours")
    client = ours.issue("agent@core-01.example")
    more = [f"--client-cert-file={client.cert}", f"--client-key-file={client.key}"] if own else []
    server = TlsEtcd(ours, ours.issue_for_server_alone("127.0.0.1"), *more)
    try:
        server.start()
        good = Credentials(True, ours.path, client.cert, client.key)
        setting = Setting(server, good, ours, api=3)
        assert works(evolve(setting, api=2).registry(good))
        if own:
            assert works(setting.registry(good))
        else:
            text = problem(setting.registry(good))
            assert server.endpoint in text
            assert "etcd's own certificate has to be good for clients, too; or give etcd a --client-cert-file" in text
    finally:
        server.close()


def test_an_etcd_without_the_gateway_says_so(tmp_path: Path) -> None:
    """And what to do."""
    server = Flagged("--enable-grpc-gateway=false")
    try:
        server.start()
        with pytest.raises(EtcdV3Error):
            EtcdV3(server.endpoint).index()
        text = problem(Setting(server, Credentials(), authority(tmp_path / "ours"), api=3).registry(Credentials()))
        assert text.endswith("it does not serve the v3 API, as etcd does since 3.4 unless --enable-grpc-gateway=false")
    finally:
        server.close()
