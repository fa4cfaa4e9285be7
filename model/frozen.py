"""An immutable mapping for frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: The only empty one. Most values have several empty mappings.
_EMPTY: Mapping[Any, Any] = MappingProxyType({})


def frozen_dict(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a read-only copy of ``mapping``. A read-only mapping is returned as it is, because nobody can change it:
    so values share it, and need not compare it in full. It is an attrs converter that leaves the field's declared type
    as it is."""
    if isinstance(mapping, MappingProxyType):
        return mapping
    return MappingProxyType(dict(mapping)) if mapping else _EMPTY
