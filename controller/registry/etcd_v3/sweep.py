"""One sweep of a large prefix, page by page. It can go on from pass to pass."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from controller.registry.etcd_v3.documents import Page
from model.interest import Interest
from model.layout import Unreadable
from model.stored import Actual, Stored


class Sweep:
    """How far a sweep has come, and what it has counted."""

    def __init__(self) -> None:
        #: The last key of the last page; empty before the first page.
        self.after = ""
        #: Whether something happened since it began that calls for another sweep.
        self.doubted = False
        self._others = self._unreadable = 0

    def with_page(self, page: Page, visible: Iterable[Stored], interest: Interest, actual: Actual) -> Actual:
        """Return what was observed with the own keys of a page, each of which is an observed place from now on.
        ``visible`` are the keys of the page that count. With the last page, the counts of the others change."""
        found = what_matters(visible, interest, actual)
        self._others += found.others
        self._unreadable += found.others_unreadable
        observed = actual.observed or frozenset()
        new = {key: each for key, each in found.stored.items() if key not in observed and interest.names_owner(key)}
        if new:
            actual = evolve(actual, stored={**actual.stored, **new}, observed=observed | new.keys())
        if page.more:
            self.after = page.stored[-1].key
            return actual
        return evolve(actual, others=self._others, others_unreadable=self._unreadable)


def what_matters(stored: Iterable[Stored], interest: Interest, last: Actual) -> Actual:
    """Return, of some keys under a large prefix, those whose ids name the owner, and what is in the places that matter
    or were observed ``last``. The others are counted."""
    places = interest.places(last) | (last.observed or frozenset())
    below = tuple(each for each in places if each.endswith("/"))
    kept: dict[str, Stored] = {}
    own: set[str] = set()
    others = unreadable = 0
    for each in stored:
        if interest.names_owner(each.key):
            own.add(each.key)
        elif each.key not in places and not each.key.startswith(below):
            others += 1
            unreadable += isinstance(interest.layout.decode(each.key, each.value), Unreadable)
            continue
        kept[each.key] = each
    return evolve(last, stored=kept, observed=places | own, others=others, others_unreadable=unreadable)
