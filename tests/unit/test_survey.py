"""What a survey shows from no host: whose each key is, and who writes there."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
from attrs import evolve

from model.agent_note import AgentNote
from model.drain_order import NO_DRAIN, DrainedContainer, DrainOrder
from model.layout import PlainLayout
from model.record import Claim, InnerPrefix, OwnerRecord, RecordKeys
from model.skydns import SkyDnsLayout
from model.stored import Stored
from model.survey import Alive, EntryState, Findings, Survey, SurveyedEntry, SurveyedOwner

PREFIX = "/services"
KEYS = RecordKeys(PREFIX)
LAYOUT = PlainLayout(PREFIX)

#: A moment, in seconds since 1970-01-01 UTC.
NOW = 1000.0

NOTE = AgentNote("0.2.0", 1.0, 10.0, 60.0, {}, "run-1")
BEATING = evolve(NOTE, flags={"heartbeat": "10"})


def stored(*keys: tuple[str, str], ttl: int | None = None) -> dict[str, Stored]:
    """Return these keys with their values as a registry holds them."""
    return {key: Stored(key, value, 1, ttl) for key, value in keys}


def entry(last: str, value: str = "10.0.0.1:80", ttl: int | None = None) -> dict[str, Stored]:
    """Return the key under the name `web` with this id."""
    return stored((f"{PREFIX}/web/{last}", value), ttl=ttl)


def record(owner: str, engine: str = "E", **claims: str) -> dict[str, Stored]:
    """Return an owner record that claims the keys under the name `web` with these ids, and with these values."""
    made = {f"{PREFIX}/web/{last}": Claim.of("c" * 64, [value]) for last, value in claims.items()}
    return stored((KEYS.record(owner), OwnerRecord(engine, made).encode()))


def note(owner: str, note: AgentNote = NOTE) -> dict[str, Stored]:
    """Return the note of an owner's agent."""
    return stored((KEYS.agent_note(owner), note.encode()))


def heartbeat(owner: str) -> dict[str, Stored]:
    """Return the key by which an owner's agent shows that it is alive."""
    return stored((KEYS.heartbeat(owner), "alive"), ttl=20)


def findings(
    keys: dict[str, Stored], about: dict[str, Stored] | None = None, inner: tuple[InnerPrefix, ...] = ()
) -> Findings:
    """Return what a survey with these keys shows."""
    return Findings(Survey(keys, about or {}, inner), LAYOUT)


def only(found: Findings) -> SurveyedEntry:
    """Return the only entry."""
    (each,) = found.entries
    return each


def owner(found: Findings, name: str = "core-01") -> SurveyedOwner:
    """Return what is found of an owner."""
    return {each.name: each for each in found.owners(NOW)}[name]


def test_an_empty_prefix_has_neither_entries_nor_owners() -> None:
    """Nothing is found in nothing."""
    assert (findings({}).entries, findings({}).owners(NOW)) == ((), ())


def test_a_survey_counts_all_keys_that_were_read() -> None:
    """Those that are kept about owners, too."""
    assert Survey(entry("core-01:app:80"), {**record("core-01"), **note("core-01")}).keys == 3


def test_a_key_whose_id_names_a_host_with_a_record_is_that_hosts() -> None:
    """The id tells the container, too."""
    found = only(findings(entry("core-01:app:80"), record("core-01")))
    assert (found.state, found.owner, found.container, found.detail) == (EntryState.OURS, "core-01", "app", "")
    assert (found.service, found.id, found.place) == ("web", "core-01:app:80", ("10.0.0.1", 80))


def test_a_host_with_an_agent_note_alone_has_its_keys() -> None:
    """Somebody removed its record, and its agent writes it again."""
    assert only(findings(entry("core-01:app:80"), note("core-01"))).state is EntryState.OURS


def test_a_key_whose_id_names_a_host_without_a_record_is_foreign() -> None:
    """registrator writes such keys and no record. Whether somebody keeps them in step cannot be seen."""
    found = only(findings(entry("core-09:app:80"), record("core-01")))
    assert (found.state, found.owner, found.container) == (EntryState.FOREIGN, "core-09", "app")
    assert found.detail == "'core-09' has no owner record"


def test_a_key_under_a_custom_id_is_the_host_s_whose_record_claims_it() -> None:
    """The claim tells the container by its id."""
    found = only(findings(entry("blue"), record("core-01", blue="10.0.0.1:80")))
    assert (found.state, found.owner, found.container) == (EntryState.OURS, "core-01", "c" * 64)


def test_a_claimed_key_that_was_overwritten_stays_the_host_s() -> None:
    """As for the host itself, if nobody else claims the key."""
    assert only(findings(entry("blue"), record("core-01", blue="other:80"))).owner == "core-01"


def test_of_several_claims_the_value_decides() -> None:
    """The key is the host's that wrote its value. If none did, it is nobody's."""
    two = {**record("core-01", blue="10.0.0.1:80"), **record("core-02", blue="10.0.0.2:80")}
    assert only(findings(entry("blue", "10.0.0.2:80"), two)).owner == "core-02"
    assert only(findings(entry("blue", "10.0.0.1:80"), two)).owner == "core-01"
    assert only(findings(entry("blue", "10.0.0.3:80"), two)).state is EntryState.FOREIGN


def test_of_two_hosts_that_claim_one_value_the_first_by_name_has_the_key() -> None:
    """So that the answer is the same each time."""
    two = {**record("core-02", blue="10.0.0.1:80"), **record("core-01", blue="10.0.0.1:80")}
    assert only(findings(entry("blue"), two)).owner == "core-01"


def test_a_key_under_a_custom_id_that_nobody_claims_is_foreign() -> None:
    """It has neither owner nor container."""
    found = only(findings(entry("blue"), record("core-01")))
    assert (found.state, found.owner, found.container) == (EntryState.FOREIGN, "", "")
    assert found.detail == "no owner record claims it"


def test_a_key_that_is_not_utf_8_is_foreign() -> None:
    """Its text may stand for another key, so its id tells nothing."""
    found = only(findings(entry("core-01:app\udcff:80"), record("core-01")))
    assert (found.state, found.owner, found.detail) == (EntryState.FOREIGN, "", "its key is not UTF-8")


def test_a_key_below_an_inner_prefix_is_foreign() -> None:
    """The agents of that prefix keep it, whatever its id says."""
    inner = (InnerPrefix(f"{PREFIX}/in", ("core-01",)),)
    keys = stored((f"{PREFIX}/in/web/core-01:app:80", "10.0.0.1:80"))
    found = only(findings(keys, record("core-01"), inner))
    assert (found.state, found.owner) == (EntryState.FOREIGN, "")
    assert found.detail == "it lies below '/services/in', whose agents keep it"


def test_what_cannot_be_read_is_unreadable_whoever_has_it() -> None:
    """The owner is told all the same, and service and id as the key has them."""
    found = only(findings(entry("core-01:app:80", "rubbish"), record("core-01")))
    assert (found.state, found.owner, found.place) == (EntryState.UNREADABLE, "core-01", None)
    assert (found.service, found.id) == ("web", "core-01:app:80")
    assert found.detail == "the value 'rubbish' is not <address>:<port>"
    assert only(findings(stored((f"{PREFIX}/lonely", "10.0.0.1:80")))).state is EntryState.UNREADABLE


def test_the_keys_of_a_dead_host_are_orphans() -> None:
    """Its agent showed a heartbeat, which has expired. Another host's keys are none."""
    keys = {**entry("core-01:app:80"), **entry("core-02:app:80")}
    about = {**record("core-01"), **note("core-01", BEATING), **record("core-02")}
    dead, other = findings(keys, about).entries
    assert (dead.state, dead.detail) == (EntryState.ORPHAN, "the agent of 'core-01' is dead")
    assert other.state is EntryState.OURS


@pytest.mark.parametrize(
    ("keys", "about", "alive"),
    [
        ({}, record("core-01"), Alive.UNKNOWN),
        (entry("core-01:app:80"), {**record("core-01"), **note("core-01")}, Alive.UNKNOWN),
        (entry("core-01:app:80", ttl=25), record("core-01"), Alive.YES),
        (entry("blue", ttl=25), record("core-01", blue="10.0.0.1:80"), Alive.YES),
        (entry("core-02:app:80", ttl=25), record("core-01"), Alive.UNKNOWN),
        ({}, {**note("core-01", BEATING), **heartbeat("core-01")}, Alive.YES),
        ({}, {**note("core-01"), **heartbeat("core-01")}, Alive.YES),
        ({}, note("core-01", BEATING), Alive.NO),
        (entry("core-01:app:80", ttl=25), note("core-01", BEATING), Alive.YES),
    ],
    ids=[
        "no note",
        "nothing expires",
        "with -ttl",
        "with -ttl, under a custom id",
        "another host's key expires",
        "heartbeat",
        "heartbeat of an earlier run",
        "heartbeat expired",
        "heartbeat expired, and keys have not",
    ],
)
def test_whether_an_agent_is_alive(keys: dict[str, Stored], about: dict[str, Stored], alive: Alive) -> None:
    """Only what expires unless it is renewed can tell that, and only a note can tell that something should be there."""
    assert owner(findings(keys, about)).alive is alive


def test_an_owner_has_its_engine_its_version_and_the_number_of_its_keys() -> None:
    """Keys under custom ids count, and unreadable ones."""
    keys = {**entry("core-01:app:80"), **entry("core-01:app:81", "?"), **entry("blue"), **entry("core-02:app:80")}
    found = owner(findings(keys, {**record("core-01", "ENGINE", blue="10.0.0.1:80"), **note("core-01")}))
    assert (found.engine, found.version, found.entries, found.recorded) == ("ENGINE", "0.2.0", 3, True)


def test_an_owner_that_ids_alone_name_has_no_record() -> None:
    """It writes here all the same, or did."""
    found = owner(findings(entry("core-01:app:80")))
    assert found == SurveyedOwner("core-01", "", "", 1, Alive.UNKNOWN, recorded=False)


def test_a_liveness_query_alone_makes_no_owner() -> None:
    """Somebody asked for a host that nobody knows."""
    about = stored((KEYS.liveness_query("core-01"), "?"))
    assert findings({}, about).owners(NOW) == ()


def test_records_and_notes_that_cannot_be_read_count_as_none() -> None:
    """The owner is shown, because somebody wrote them."""
    about = stored((KEYS.record("core-01"), "?"), (KEYS.agent_note("core-01"), "?"), (KEYS.heartbeat("core-01"), ""))
    found = owner(findings(entry("core-01:app:80"), about))
    assert (found.engine, found.version, found.recorded) == ("", "", False)


def test_an_owner_has_what_the_operator_drains_and_what_has_ended_is_left_out() -> None:
    """By the clock of the one who asks."""
    lasting, ended = (DrainedContainer(each, "s", each, until) for each, until in (("a", inf), ("b", NOW)))
    order = DrainOrder({"a": lasting, "b": ended}, all_until=NOW + 1)
    found = owner(findings({}, stored((KEYS.drain_order("core-01"), order.encode()))))
    assert (found.drain_order, found.drain_order_unreadable) == (DrainOrder({"a": lasting}, NOW + 1), False)


def test_a_drain_order_that_cannot_be_read_is_told() -> None:
    """It drains nothing."""
    found = owner(findings({}, stored((KEYS.drain_order("core-01"), "?"))))
    assert (found.drain_order, found.drain_order_unreadable) == (NO_DRAIN, True)


@pytest.mark.parametrize("word", [*EntryState, *Alive], ids=lambda word: word.value)
def test_the_tables_of_the_docs_say_what_each_word_means(word: EntryState | Alive) -> None:
    """In the same sentence as here."""
    document = (Path(__file__).parents[2] / "docs/registries.md").read_text()
    assert f"| `{word.value}` | {word.about} |" in document


def test_entries_and_owners_are_sorted_with_numbers_as_numbers() -> None:
    """Entries by service and id, owners by name."""
    ids = ("core-10:app:80", "core-2:app:80")
    keys = {**entry(ids[0]), **entry(ids[1]), **stored((f"{PREFIX}/api/z", "10.0.0.1:80"))}
    found = findings(keys)
    assert [(each.service, each.id) for each in found.entries] == [("api", "z"), ("web", ids[1]), ("web", ids[0])]
    assert [each.name for each in found.owners(NOW)] == ["core-2", "core-10"]


def test_records_of_the_dns_tell_their_owner_by_their_label() -> None:
    """In this layout an id is a label."""
    layout = SkyDnsLayout("/skydns/local/cluster", 0)
    key = "/skydns/local/cluster/web/core-01--app--80"
    found = Findings(Survey(stored((key, '{"host":"10.0.0.1","port":80}')), {}), layout)
    (each,) = found.entries
    assert (each.owner, each.container, each.id) == ("core-01", "app", "core-01:app:80")
