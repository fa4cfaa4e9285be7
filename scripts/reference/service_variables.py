"""Which ``SERVICE_…`` variables the program reads, found in its source, and what each means."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from model.metadata import PREFIX
from model.skydns import RECORD_FIELDS

MODEL = Path(__file__).parents[2] / "model"

#: What counts for the whole container and never for one port: this function reads it.
_OF_CONTAINER = "value_for_container"

#: What each variable means, by its lower-case key. A test holds the keys against the code.
MEANINGS: Mapping[str, str] = {
    "name": (
        "The service's name. By default it is the image's name without registry and tag. If the container has several "
        "service ports, the port is added, unless the name was given for that port."
    ),
    "id": (
        "The entry's id, instead of `<host>:<container>:<port>`. Give one for each port, as two ports cannot have one "
        "key."
    ),
    "tags": (
        "Tags, separated by commas. They are part of JSON values alone. `{{.Field}}` and "
        '`{{index .Field "key"}}` stand for what an inspect of the container says.'
    ),
    "ignore": "The port has no entry, whatever the value is: `false` ignores the port, too. An empty value does not.",
    "network": (
        "With `-internal` or `-ip-from-container`, the network whose address is registered. It has precedence over "
        "`--network`."
    ),
    "drain": "With `false`, `f`, `0`, `no` or `off`, no signal takes the entries away before the container has ended.",
    "stop_grace": (
        "If the container still runs this many seconds after a signal that should stop it, its entries return. From 0 "
        "to 86400."
    ),
    "priority": "The priority of the record, from 0 to 65535.",
    "weight": "The weight of the record, from 0 to 65535.",
    "text": "The text of the record, up to 4096 bytes. CoreDNS does not answer with it, and SkyDNS does.",
    "mail": "Whether the record is one of a mail server: `true` or `false`.",
    "ttl": (
        "For how many seconds an answer from the record is valid. It has precedence over `--record-ttl`, and is not "
        "the lifetime of the key."
    ),
    "targetstrip": "How many labels CoreDNS strips from the target's name, from 0 to 127.",
    "group": "The group of the record, up to 4096 bytes. CoreDNS may leave records of other groups out of an answer.",
}


def variable(key: str) -> str:
    """Return the variable of a key for all ports of a container."""
    return f"{PREFIX}{key.upper()}"


def of_record(key: str) -> bool:
    """Return whether a key counts under ``skydns2://`` and ``skydns3://`` alone."""
    return key in RECORD_FIELDS


def of_container(key: str) -> bool:
    """Return whether a key counts for the whole container alone, and not for one port."""
    return key in {key for function, key in _reads() if function == _OF_CONTAINER}


def keys_in_code() -> set[str]:
    """Return the keys of all variables that the program reads."""
    return {key for _, key in _reads()} | set(RECORD_FIELDS)


def _reads() -> Iterator[tuple[str, str]]:
    """Yield what reads a variable, a function or ``metadata.get``, and the key that it reads."""
    for file in sorted(MODEL.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=called, args=[ast.Constant(value=str(key)), *_]):
                    function = ast.unparse(called)
                    if function == _OF_CONTAINER or function.endswith("metadata.get"):
                        yield function, key
