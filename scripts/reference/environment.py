"""The environment variables that the program reads besides those of its flags, and what each means."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from controller.config.flags import (
    CONNECTION_FLAGS,
    ETCDCTL_VARIABLES,
    FLAGS,
    REGISTRATOR_VARIABLES,
    SWITCHES,
    environment_variable,
)

CONTROLLER = Path(__file__).parents[2] / "controller"

#: Names in the form of a variable that stand in the source and are none: keys of WSGI.
_OF_WSGI = frozenset({"HTTP_AUTHORIZATION", "PATH_INFO", "REQUEST_METHOD"})

#: A test holds the variables against the code.
MEANINGS: Mapping[str, str] = {
    "WHARFINGER_REGISTRY": (
        "The registry URIs, separated by whitespace. They count for `run`, `reconcile`, `explain` and `deregister` if "
        "no URI is on the command line."
    ),
    "WHARFINGER_ETCD_PASSWORD": (
        "The password of `--etcd-user`. `--etcd-password-file` has precedence. There is no flag for the password, "
        "because every user of the host can read command lines."
    ),
    "ETCDCTL_PASSWORD": "The same, if `WHARFINGER_ETCD_PASSWORD` is not set.",
    "ETCD_ENDPOINTS": (
        "The endpoints of registry URIs that name none, as in `etcd3:///services`: `HOST:PORT`, `http://HOST:PORT` or "
        "`https://HOST:PORT`, separated by commas. Endpoints in a URI have precedence. With `https://`, TLS has to be "
        "asked for by the scheme or a file, too."
    ),
    "DOCKER_HOST": "The URL of the engine, as for docker itself. `--docker-host` has precedence.",
    "DOCKER_CONTEXT": (
        "A context of the docker command. It says where the engine is, and has its certificates, if neither "
        "`--docker-host` nor `DOCKER_HOST` says so. `default` means none. `docker context use` has no effect."
    ),
    "DOCKER_CONFIG": "The folder in which the docker command keeps contexts. By default it is `~/.docker`.",
    "DOCKER_TLS_VERIFY": "If it is set and not empty, an engine over TCP is asked with TLS, and verified.",
    "DOCKER_CERT_PATH": (
        "The directory with `ca.pem`, `cert.pem` and `key.pem` for an engine over TCP. It turns TLS on, too. By "
        "default it is `~/.docker`."
    ),
    "NO_COLOR": "If it is set and not empty, output to a terminal has no colours.",
    "NOTIFY_SOCKET": "Set by systemd. The agent tells there that it is ready, and that its loops are alive.",
}


def found_in_code() -> set[str]:
    """Return the variables that the program reads and that belong to no flag."""
    flags = {environment_variable(each.name) for each in (*FLAGS, *CONNECTION_FLAGS, *SWITCHES)}
    others = {name for key, names in ETCDCTL_VARIABLES.items() if key != "password" for name in names}
    return {*_named()} - flags - others - {*REGISTRATOR_VARIABLES.values()} - _OF_WSGI


def _named() -> Iterator[str]:
    """Yield each text in the source that has the form of a variable."""
    for file in CONTROLLER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Constant(value=str(text)) if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", text):
                    yield text
