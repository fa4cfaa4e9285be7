"""Which engine has an owner name, and whether another one may be the same host's under a new id.

Two engines of one name are told apart by their ids, which are in the owner record, and by their kinds, of which the
agent note tells. Some engines lose their id when their host is started anew. Such a host takes its name back by itself
once the agent that had the name is known to be dead. That is done only if all entries under the name point at this
host: then no other host loses any.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from model.engine_kind import are_apart, id_lasts
from model.family import is_loopback, same_address
from model.layout import Decoded, Layout
from model.record import OwnerRecord
from model.snapshot import EngineIdentity
from model.stored import Stored


@frozen
class Holder:
    """Another engine that has the owner name."""

    #: Names it, and does not change while it has the name.
    engine: str
    #: What is said of it and of this host's engine, as the end of a sentence that begins with the owner name.
    says: str
    #: Whether it is of another kind than this host's.
    other_kind: bool = False


def holder_of(record: OwnerRecord, noted: str, engine: EngineIdentity) -> Holder | None:
    """Return the engine that has the owner name; None if it is this one, as far as is known:

    ===============  ==============  ====================  =====================
    the noted kind   record's id     this engine's id      who has the name
    ===============  ==============  ====================  =====================
    another          any             any                   an engine of that kind
    same or unknown  none            any                   this one
    same or unknown  any             the same, or unknown  this one
    same or unknown  any             another               the engine of that id
    same             any             one does not last     this one
    unknown          any             one does not last     the engine of that id
    ===============  ==============  ====================  =====================

    ``record`` is the owner record, and ``noted`` the kind of engine that the agent note tells of.
    """
    if are_apart(noted, engine.kind):
        return Holder(noted, f"belongs to an engine of another kind: {noted}, and this is {engine.kind}", True)
    may_have_id = id_lasts(engine.kind) or noted == engine.kind
    ours = record.belongs_to(engine.id) and (may_have_id or not record.engine)
    says = f"belongs to the engine {record.engine} and this is {engine.id or engine.kind}"
    return None if ours else Holder(record.engine, says)


def recorded_id(record: OwnerRecord, engine: EngineIdentity) -> str:
    """Return the engine id that the next owner record has: this engine's, or the one that the record has while this
    engine's is not known. An id that does not last is not recorded."""
    return engine.id or (record.engine if id_lasts(engine.kind) else "")


def all_point_at(address: str, layout: Layout, own: Iterable[Stored], record: OwnerRecord) -> bool:
    """Return whether every entry of an owner leads to this address of a host, as far as the values tell. ``own`` are
    the keys whose id names the owner. The values of the keys under custom ids stand in the record.

    An empty address is none of a host. Loopback leads every host to itself, so it tells nothing.
    """
    claimed = ((key, value) for key, claim in record.claims.items() for value in claim.values)
    values = (*((each.key, each.value) for each in own), *claimed)
    return not is_loopback(address) and all(_leads_to(address, layout.decode(*each)) for each in values)


def _leads_to(address: str, decoded: object) -> bool:
    return (
        isinstance(decoded, Decoded)
        and address != ""
        and (decoded.address == address or same_address(decoded.address, address))
    )
