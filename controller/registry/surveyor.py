"""What a command asks of a registry that shows everything under a prefix. No pass needs it, so no agent loads it."""

from __future__ import annotations

from typing import Protocol

from controller.effects.clock import Deadline
from model.stored import StorePosition
from model.survey import Survey


class Surveyor(Protocol):
    """Reads everything under a prefix, of all hosts, for an operator who asks. It has no way to write."""

    def survey(self, deadline: Deadline) -> Survey:
        """Return everything. Keys are read before what is kept about owners, so that each key has its claim. The
        answers show every write that was made before the call. Raises RegistryUnavailable."""

    def store_position(self, deadline: Deadline) -> StorePosition | None:
        """Return how far the store has come, by the smallest request. Raises RegistryUnavailable."""
