"""What is wanted, cut to what a layout and the owner record can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import evolve

from model.clashes import resolve_conflicts
from model.desired import Desired
from model.entry import DefaultId, Entry, Refusal, RefusalReason, quoted
from model.layout import Layout
from model.record import claim_size


def fitted(wanted: Desired, layout: Layout) -> Desired:
    """The same with a refusal for each entry that the layout cannot hold. Of those that come to one key there, or of
    which one's key is a directory of the other's, the older container's stays. Refusals keep their order, by container
    and port; what one layout refuses stands in nobody's way there."""

    def decide(decision: Entry | Refusal) -> Entry | Refusal:
        return decision if isinstance(decision, Refusal) else layout.refusal(decision) or decision

    def path(entry: Entry) -> str:
        return layout.key(entry).removeprefix(f"{layout.prefix}/")

    entries, refusals = resolve_conflicts(_with_room(map(decide, wanted.decisions), layout), path)
    return evolve(wanted, entries=entries, refusals=refusals)


#: As many bytes of the owner record may be about what is wanted under custom ids. etcd takes a megabyte and a half at
#: once, and the record holds, besides, what is wanted no more and has not gone yet.
ROOM = 500_000


def _with_room(decisions: Iterable[Entry | Refusal], layout: Layout) -> Iterator[Entry | Refusal]:
    """The same without the entries whose ids the owner record would have to hold, and has no room for. The older
    containers' go first. A record that etcd does not take would hold up all of them."""
    room = ROOM
    for decision in decisions:
        size = _in_record(decision, layout)
        if isinstance(decision, Entry) and size > room:
            detail = f"the owner record has no room for the id {quoted(decision.id)}; use fewer SERVICE_IDs here"
            yield Refusal(decision.container, decision.container_port, RefusalReason.BAD_ID, detail)
        else:
            room -= size
            yield decision


def _in_record(decision: Entry | Refusal, layout: Layout) -> int:
    """How many bytes of the owner record are about it: none where the id itself says whose it is."""
    if isinstance(decision, Refusal):
        return 0
    key = layout.key(decision)
    return 0 if DefaultId.parse(layout.id_of(key)) else claim_size(key)
