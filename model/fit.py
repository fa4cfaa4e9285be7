"""What is wanted, cut to what a layout can hold."""

from __future__ import annotations

from attrs import evolve

from model.desired import Desired, first_come
from model.entry import Entry, Refusal
from model.layout import Layout


def fitted(wanted: Desired, layout: Layout) -> Desired:
    """The same with a refusal for each entry that the layout cannot hold. Of those that come to one key there, or of
    which one's key is a directory of the other's, the older container's stays. Refusals keep their order, by container
    and port; what one layout refuses stands in nobody's way there."""

    def decide(decision: Entry | Refusal) -> Entry | Refusal:
        return decision if isinstance(decision, Refusal) else layout.refusal(decision) or decision

    def path(entry: Entry) -> str:
        return layout.key(entry).removeprefix(f"{layout.prefix}/")

    entries, refusals = first_come(map(decide, wanted.decisions), path)
    return evolve(wanted, entries=entries, refusals=refusals)
