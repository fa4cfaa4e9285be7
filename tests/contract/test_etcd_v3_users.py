"""Users and passwords of etcd's v3 API, and the error where etcd does not serve it. TLS: test_tls."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve, frozen

from controller.errors import RegistryUnavailable
from controller.registry.base import Registry
from controller.registry.credentials import Credentials
from controller.registry.factory import open_surveyor
from controller.registry.uri import parse_uri
from model.heartbeat import Heartbeat
from model.interest import Interest
from model.plan import Action, Change, Reason
from model.record import ROOT, RecordKeys
from model.report import Result
from model.skydns import SkyDnsLayout
from model.stored import Lifetime, Stored
from model.sweep import MANY_HOSTS
from tests.support.builders import OWNER, change, create
from tests.support.captured_logs import capture_logs
from tests.support.etcd_server import EtcdServer, chosen_version, serves_v2
from tests.support.etcd_v3 import EtcdV3, EtcdV3Error
from tests.support.secure_etcd import KEY, Flagged, Setting, TlsEtcd, V3Users, authority, problem, soon, works
from tests.support.waiting import wait_until

pytestmark = pytest.mark.every_etcd

PASSWORD = "correct horse: battery/staple?ü€日"
GOOD = Credentials(user="agent", password=PASSWORD)
EVERYTHING = (("READWRITE", "/services"), ("READWRITE", ROOT))


@frozen
class Guarded:
    """An etcd with a user ``agent`` that has the permissions which an agent needs. It does not ask for a user yet."""

    setting: Setting
    users: V3Users

    def registry(self, credentials: Credentials = GOOD, lifetime: Lifetime = Lifetime()) -> Registry:
        """The registry with these credentials."""
        return self.setting.registry(credentials, lifetime=lifetime)

    @property
    def server(self) -> EtcdServer:
        """The etcd."""
        return self.setting.server


def guarded(server: EtcdServer, folder: Path) -> Guarded:
    """Start the server and add the user."""
    users = V3Users(server.start())
    users.add("agent", PASSWORD, *EVERYTHING)
    return Guarded(Setting(server, GOOD, authority(folder / "ours"), api=3), users)


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """An etcd that asks for a user and a password. Tests share it and must not change it."""
    server = EtcdServer()
    try:
        found = guarded(server, tmp_path_factory.mktemp("pki"))
        found.users.enable()
        yield found
    finally:
        server.close()


@pytest.fixture
def open_etcd(tmp_path: Path) -> Iterator[Guarded]:
    """An etcd of the test's own that does not ask for a user."""
    server = EtcdServer()
    try:
        yield guarded(server, tmp_path)
    finally:
        server.close()


def test_the_right_user_and_password_are_accepted(users: Guarded) -> None:
    """The password may have any characters."""
    assert works(users.registry())


def test_the_role_needs_the_prefix_and_the_records_alone(users: Guarded) -> None:
    """This also holds with a lifetime: a lease is granted, kept alive and read, and records are written and read."""
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
    registry.show_alive(OWNER, Heartbeat(10), soon())
    assert registry.about_owner(OWNER, soon()).heartbeat is not None


def test_to_read_everything_a_user_needs_no_right_to_write(open_etcd: Guarded) -> None:
    """It may also be told how long the keys last."""
    registry = open_etcd.registry(lifetime=Lifetime(60, 50))
    assert registry.apply(OWNER, create("/services/leased/core-01:web:80"), soon()).result is Result.APPLIED
    registry.show_alive(OWNER, Heartbeat(10), soon())
    open_etcd.users.add("reader", PASSWORD, ("READ", "/services"), ("READ", ROOT))
    open_etcd.users.enable()
    uri = parse_uri(f"etcd3://{open_etcd.server.endpoint}/services")
    survey = open_surveyor(uri, Credentials(user="reader", password=PASSWORD)).survey(soon())
    assert survey.stored["/services/leased/core-01:web:80"].ttl in range(50, 61)
    assert {*survey.about_owners} == {RecordKeys("/services").heartbeat(OWNER)}


def test_the_same_rights_do_for_a_large_prefix(users: Guarded) -> None:
    """Hosts are counted, keys are compared and looked up, and the prefix is swept."""
    registry = users.registry()
    keys = RecordKeys("/services")
    records = [
        Change(Action.CREATE, key, "{}", None, Reason.NEW)
        for number in range(MANY_HOSTS)
        for key in (keys.record(f"host-{number}"), keys.agent_note(f"host-{number}"))
    ]
    mine = "/services/mine/core-01:web:80"
    made = [*registry.apply_all(OWNER, [*records, create(mine)], soon())]
    interest = Interest(OWNER, SkyDnsLayout("/services"), frozenset({mine}), frozenset({"/services/free/core-01:a:80"}))
    for number in range(3):
        registry.observe(interest, soon())
        actual = registry.look_up(interest, soon()).actual
        assert actual.observed
        assert mine in actual.stored
        made.append(registry.apply(OWNER, create(f"/services/other-{number}/core-02:web:80"), soon()))
    assert {each.result for each in made} == {Result.APPLIED}
    written = (Stored(each.change.key, each.change.value, each.version) for each in made)
    assert all(registry.apply(OWNER, change(Action.DELETE, each), soon()).result is Result.APPLIED for each in written)


@pytest.mark.parametrize(
    ("credentials", "says"),
    [
        (Credentials(), "user name is empty (etcd asks for a user; give --etcd-user and its password)"),
        (Credentials(user="agent", password="wr0ng"), "invalid user ID or password (see --etcd-user and its password)"),
        (Credentials(user="nobody", password=PASSWORD), "invalid user ID or password (see --etcd-user and its passw"),
    ],
    ids=["none", "wrong password", "unknown user"],
)
def test_other_credentials_are_refused_with_a_clear_error(users: Guarded, credentials: Credentials, says: str) -> None:
    """The error says what is missing, and does not contain the password."""
    text = error_of(users.registry(credentials))
    assert says in text
    assert [word for word in ("wr0ng", PASSWORD) if word in text] == []


def error_of(registry: Registry) -> str:
    """The message with which etcd refuses a read. A write is refused with the same message."""
    with pytest.raises(RegistryUnavailable, match=r"^cannot read /services: ") as unavailable:
        registry.read(OWNER, soon(), consistent=True)
    outcome = registry.apply(OWNER, create(KEY), soon())
    assert outcome.result is Result.REJECTED
    assert str(unavailable.value).endswith(outcome.detail)
    return str(unavailable.value)


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_the_password_is_never_shown(users: Guarded, right: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It is in no log line of the program or of the libraries, at any level, and in no ``repr``. Nor is the token."""
    for name in ("", "urllib3", "urllib3.connectionpool"):
        caplog.set_level(logging.DEBUG, name)
    secret = PASSWORD if right else "wr0ng"
    credentials = evolve(GOOD, password=secret)
    with capture_logs() as lines:
        registry = users.registry(credentials)
        outcome = registry.apply(OWNER, create("/services/x/core-01:web:80"), soon())
    shown = [repr(credentials), str(credentials), repr(registry), repr(outcome), repr(lines), caplog.text]
    assert [each for each in shown if secret in each or "Authorization" in each] == []
    assert caplog.text


def test_a_user_may_be_given_although_etcd_does_not_ask_for_one(open_etcd: Guarded) -> None:
    """Requests work with a user and without."""
    assert works(open_etcd.registry())
    assert works(open_etcd.registry(Credentials()))


def test_an_etcd_may_begin_and_cease_to_ask_for_a_user(open_etcd: Guarded) -> None:
    """A running agent signs in by itself. For one without a user, the error says that a user is needed."""
    registry, without = open_etcd.registry(), open_etcd.registry(Credentials())
    assert works(registry)
    assert works(without)
    open_etcd.users.enable()
    assert works(registry)
    assert "user name is empty" in error_of(without)
    open_etcd.users.disable()
    assert works(registry)
    assert works(without)


def test_a_token_that_etcd_forgot_is_replaced(open_etcd: Guarded) -> None:
    """etcd forgets all tokens when it restarts, and a token that was not used for some minutes."""
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
    """An etcd that asks for a user. Its tokens are signed (JWT) and last two seconds."""
    key = tmp_path / "signing-key"
    key.write_text("a key of some length, for a test")
    server = Flagged(f"--auth-token=jwt,priv-key={key},sign-method=HS256,ttl=2s")
    try:
        found = guarded(server, tmp_path)
        found.users.enable()
        yield found
    finally:
        server.close()


def test_a_token_that_expired_is_replaced(signing: Guarded) -> None:
    """Once a token that was given later has expired, so has the registry's."""
    registry = signing.registry()
    assert works(registry)
    later = signing.users.token("agent", PASSWORD)
    wait_until(lambda: not signing.users.knows(later), 10, "the token to expire")
    assert registry.apply(OWNER, create("/services/new/core-01:web:80"), soon()).result is Result.APPLIED
    assert "/services/new/core-01:web:80" in registry.read(OWNER, soon()).stored


def test_a_token_from_before_a_change_of_the_roles_is_replaced(signing: Guarded) -> None:
    """A signed token says for which state of users and roles it is valid. etcd refuses it in any other state."""
    registry = signing.registry()
    assert works(registry)
    signing.users.grant("agent", "READ", "/elsewhere")
    assert registry.apply(OWNER, create("/services/new/core-01:web:80"), soon()).result is Result.APPLIED
    signing.users.grant("agent", "READ", "/elsewhere/too")
    assert "/services/new/core-01:web:80" in registry.read(OWNER, soon()).stored


def test_a_permission_that_is_taken_away_and_given_back_takes_effect_at_once(open_etcd: Guarded) -> None:
    """The agent needs no restart. The error says what to grant."""
    open_etcd.users.enable()
    registry = open_etcd.registry()
    assert works(registry)
    open_etcd.users.deny("agent", "/services")
    assert "(grant the user's role readwrite on the prefix and on /_wharfinger)" in error_of(registry)
    open_etcd.users.grant("agent", "READWRITE", "/services")
    assert works(registry)


@pytest.mark.parametrize("lacks", ["/services", ROOT])
def test_the_error_of_a_missing_permission_says_what_to_grant(users: Guarded, lacks: str) -> None:
    """A user needs permission for both the prefix and the records."""
    name = f"without {lacks}"
    users.users.add(name, "secret", *(each for each in EVERYTHING if each[1] != lacks))
    with pytest.raises(RegistryUnavailable) as unavailable:
        users.registry(Credentials(user=name, password="secret")).read(OWNER, soon())
    assert str(unavailable.value) == (
        "cannot read /services: etcdserver: permission denied "
        "(grant the user's role readwrite on the prefix and on /_wharfinger)"
    )


def test_a_key_that_may_not_be_written_does_not_hold_up_the_others(users: Guarded) -> None:
    """etcd refuses the transaction as a whole. The other keys are still written, and the error says what to grant."""
    users.users.add("partly", "secret", ("READ", "/services"), ("READWRITE", ROOT))
    for name in ("a", "c", "d", "e"):
        users.users.grant("partly", "READWRITE", f"/services/{name}")
    registry = users.registry(Credentials(user="partly", password="secret"))
    changes = [create(f"/services/{name}/core-01:web:80") for name in "abcde"]
    outcomes = {each.change.key: each for each in registry.apply_all(OWNER, changes, soon())}
    refused = outcomes.pop("/services/b/core-01:web:80")
    assert refused.result is Result.REJECTED
    assert "permission denied (grant " in refused.detail
    assert {each.result for each in outcomes.values()} == {Result.APPLIED}
    stored = registry.read(OWNER, soon()).stored
    assert [each.key in stored for each in changes] == [True, False, True, True, True]


#: Whether etcd's gateway is given a certificate of its own. etcd 3.4 has no flag for it.
OWN = [pytest.param(False, id="the server's certificate")]
if chosen_version() != "3.4":
    OWN.append(pytest.param(True, id="one of its own"))


@pytest.mark.parametrize("own", OWN)
def test_the_error_of_a_gateway_that_etcd_rejects_says_what_it_needs(tmp_path: Path, own: bool) -> None:
    """Where etcd asks for client certificates, its own gateway needs one, too. It shows the one that it was given, or
    else the server's, which may be valid for servers alone. It tells so in other words from time to time. The v2 API
    works in both cases."""
    ours = authority(tmp_path / "ours")
    client = ours.issue("agent@core-01.example")
    more = [f"--client-cert-file={client.cert}", f"--client-key-file={client.key}"] if own else []
    server = TlsEtcd(ours, ours.issue_for_server_alone("127.0.0.1"), *more)
    try:
        server.start()
        good = Credentials(True, ours.path, client.cert, client.key)
        setting = Setting(server, good, ours, api=3)
        if serves_v2():
            assert works(evolve(setting, api=2).registry(good))
        if own:
            assert works(setting.registry(good))
            return
        for _ in range(5):
            text = problem(setting.registry(good))
            assert server.endpoint in text
            assert "with --client-cert-auth, etcd's own certificate has to be good for clients, too; or, since" in text
            assert "if it does not use TLS" not in text
    finally:
        server.close()


def test_an_etcd_without_the_gateway_says_so(tmp_path: Path) -> None:
    """The error also names the flag."""
    server = Flagged("--enable-grpc-gateway=false")
    try:
        server.start()
        with pytest.raises(EtcdV3Error):
            EtcdV3(server.endpoint).index()
        text = problem(Setting(server, Credentials(), authority(tmp_path / "ours"), api=3).registry(Credentials()))
        assert "it does not serve the v3 API, as etcd does since 3.4 unless --enable-grpc-gateway=false" in text
    finally:
        server.close()
