"""An explanation: what was decided about one container, and by what, with sentences for people and codes for programs.

``model.explain`` makes one of the report of a pass.
"""

from __future__ import annotations

from attrs import frozen

from model.container import Container, ContainerRef
from model.described import DescribedEnum
from model.entry import Entry


class Verdict(DescribedEnum):
    """What an explanation comes to."""

    REGISTERED = "registered", "Every service port of the container is registered."
    IN_PART = "in-part", "Some service ports of the container are registered, and others are not."
    NOT_REGISTERED = "not-registered", "The container runs, and none of its ports is registered."
    HELD = "held", "What is registered for the container stays as it is for now."
    NOT_RUNNING = "not-running", "The container does not run."
    NOT_SEEN = "not-seen", "The container runs, and no pass has seen it yet."
    ABSENT = "absent", "This host has no such container."
    AMBIGUOUS = "ambiguous", "The ids of several containers begin with the text."
    UNKNOWN = "unknown", "Nothing is known of the container, because no pass has made a plan, or the engine is silent."


#: The verdicts that do not explain a container.
UNEXPLAINED = frozenset({Verdict.ABSENT, Verdict.AMBIGUOUS, Verdict.UNKNOWN})


class PortState(DescribedEnum):
    """What was decided about a port, and what has become of that."""

    REGISTERED = "registered", "The port has an entry, and the registry holds it."
    NOT_YET = "not-yet", "The port is to have an entry that the registry does not hold yet."
    REFUSED = "refused", "The port cannot be registered."
    LEFT_OUT = "left-out", "The port is to have neither an entry nor a refusal."


class KeyState(DescribedEnum):
    """Whose a key is."""

    ABSENT = "absent", "The registry has no such key."
    OURS = "ours", "The key is this host's."
    ORPHAN = "orphan", "The key is this host's, and no container backs it."
    OTHER_HOST = "other-host", "The key's id names another host."
    UNREADABLE = "unreadable", "The key is not this host's, and the layout cannot read it."
    FOREIGN = "foreign", "Nothing shows that the key is this host's."


@frozen
class KeyExplanation:
    """A key of the container, what the registry holds there after the pass, and what becomes of it."""

    key: str
    #: What the registry holds; None if there is no such key.
    value: str | None
    #: What it is to hold; None if no entry wants the key.
    wanted: str | None
    state: KeyState
    #: The owner in the key's id; empty if the id names none.
    owner: str
    #: What the pass did with the key or will do, for people, as a sentence without its end.
    what: str
    #: The change that the pass planned for it, by its action, reason and result; all empty if it planned none.
    action: str = ""
    reason: str = ""
    result: str = ""

    @property
    def in_step(self) -> bool:
        """Whether the registry holds what is wanted, and the key is this host's."""
        return self.wanted is not None and self.value == self.wanted and self.state is KeyState.OURS


@frozen
class PortExplanation:
    """What was decided about a port."""

    port: str
    state: PortState
    #: The reason of a refusal or of a port that is left out; empty otherwise.
    reason: str = ""
    #: Why, for people, as a clause; empty for a port that is registered.
    why: str = ""
    #: What it is registered as, or is to be registered as, by the key.
    entries: tuple[tuple[str, Entry], ...] = ()


@frozen
class Explanation:
    """What a pass over one registry decided about a container, and by what."""

    #: What the operator asked for: a name, an id or the beginning of an id.
    asked: str
    verdict: Verdict
    #: The answer, as a sentence for people.
    answer: str
    #: The owner of this host's entries.
    owner: str = ""
    #: The container that is meant; None if there is none, or if it is not known which.
    ref: ContainerRef | None = None
    #: The container as the engine describes it; None if it does not.
    container: Container | None = None
    #: Why the container as a whole has no entries or is held; empty if its ports decide.
    reason: str = ""
    ports: tuple[PortExplanation, ...] = ()
    keys: tuple[KeyExplanation, ...] = ()
    #: The containers that the text may mean, if those are several.
    candidates: tuple[ContainerRef, ...] = ()
    #: Names that may have been meant.
    similar: tuple[str, ...] = ()

    @property
    def explained(self) -> bool:
        """Whether a container was explained."""
        return self.verdict not in UNEXPLAINED
