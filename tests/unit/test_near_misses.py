"""Mistyped options, commands and environment variables: each message names what was typed, and what may be meant."""

from __future__ import annotations

import shlex

import pytest

from controller.config.near_misses import closest
from tests.unit.conftest import Ran

pytestmark = pytest.mark.usefixtures("logging_restored")

OF_OTHERS = "is an option of 'wharfinger deregister' and 'wharfinger reconcile'."

#: Mistyped command lines, and the problems that are reported for each.
MISTYPED = {
    "-ipp 10.0.0.1 URI": ["No such option '-ipp'. Did you mean '-ip'?"],
    "-ipp=10.0.0.1 URI": ["No such option '-ipp'. Did you mean '-ip'?"],
    "--ip-adress 10.0.0.1 URI": ["No such option '--ip-adress'. Did you mean '--ip'?"],
    "--IP 10.0.0.1 URI": ["No such option '--IP'. Did you mean '--ip'?"],
    "-useipfromlabel x URI": ["No such option '-useipfromlabel'. Did you mean '-useIpFromLabel'?"],
    "--use-ip-from-label x URI": ["No such option '--use-ip-from-label'. Did you mean '--useIpFromLabel'?"],
    "--ttl_refresh 5 URI": ["No such option '--ttl_refresh'. Did you mean '--ttl-refresh'?"],
    "-interval 5 URI": ["No such option '-interval'. Did you mean '--interval'?"],
    "--ca ca.pem URI": ["No such option '--ca'. Did you mean '--etcd-ca'?"],
    "-Internal=true URI": ["No such option '-Internal'. Did you mean '-internal'?"],
    "--takeover URI": ["No such option '--takeover'. Did you mean '--take-over'?"],
    "-halp": ["No such option '-halp'. Did you mean '-help'?"],
    "--nonsense URI": ["No such option '--nonsense'."],
    "--etcd-password=secret URI": ["No such option '--etcd-password'. Did you mean '--etcd-password-file'?"],
    "-ipp 10.0.0.1 --tag a URI": [
        "No such option '-ipp'. Did you mean '-ip'?",
        "No such option '--tag'. Did you mean '--tags'?",
    ],
    "-hostname runner URI": ["No such option '-hostname'. Did you mean '--hostname'?"],
    "--verbose reconcile URI": ["No such option '--verbose'."],
    "--dryrun URI": [f"No such option '--dryrun'. '--dry-run' {OF_OTHERS}"],
    "-dry-run URI": [f"No such option '-dry-run'. '--dry-run' {OF_OTHERS}"],
    "run --dry-run URI": [f"No such option '--dry-run'. '--dry-run' {OF_OTHERS}"],
    "reconcile -dry-run URI": ["No such option '-dry-run'. Did you mean '--dry-run'?"],
    "reconcile -output json URI": ["No such option '-output'. Did you mean '--output'?"],
    "deregister -ip 10.0.0.1 URI": [
        "No such option '-ip'. '-ip' is an option of 'wharfinger config' and 'wharfinger explain' and "
        "'wharfinger reconcile' and 'wharfinger run'."
    ],
    "-ip 10.0.0.1 --version URI": ["No such option '--version'. '--version' is an option of 'wharfinger'."],
    "health --exitcode": ["No such option '--exitcode'. '--exit-code' is an option of 'wharfinger reconcile'."],
    "-tags -internal URI": ["Option '-tags' requires an argument, but '-internal' is the next option."],
    "-ip --ttl=5 URI": ["Option '-ip' requires an argument, but '--ttl' is the next option."],
    "'-ip 10.0.0.1' URI": [
        "No such option '-ip …'. The option and its value have to be two arguments, or joined by '='."
    ],
    "'--etcd-user me:secret' URI": [
        "No such option '--etcd-user …'. The option and its value have to be two arguments, or joined by '='."
    ],
    "\N{EN DASH}ip 10.0.0.1 URI": [
        "registry URI '\N{EN DASH}ip': it begins with a dash that is no hyphen; type '-' in its place"
    ],
    "reconcil URI": ["registry URI 'reconcil': it has no scheme; did you mean 'wharfinger reconcile'?"],
    "reconcil --dry-run URI": ["registry URI 'reconcil': it has no scheme; did you mean 'wharfinger reconcile'?"],
    "Deregister --hostname x URI": [
        "registry URI 'Deregister': it has no scheme; did you mean 'wharfinger deregister'?"
    ],
    "-ip 10.0.0.1 reconcile --dry-run URI": [
        "registry URI 'reconcile': it is a command, which has to come first, as in 'wharfinger reconcile'"
    ],
    "-internal true URI": ["registry URI 'true': the value of a switch is joined to it by '=', as in -internal=true"],
    "reconcile --explicit False URI": [
        "registry URI 'False': the value of a switch is joined to it by '=', as in --explicit=false"
    ],
    "registrator -ip 10.0.0.1 URI": ["registry URI 'registrator': it has no scheme; did you mean 'wharfinger run'?"],
    "dry-run URI": ["registry URI 'dry-run': it has no scheme; did you mean 'wharfinger reconcile --dry-run'?"],
    "version": ["registry URI 'version': it has no scheme; did you mean 'wharfinger --version'?"],
}


@pytest.mark.parametrize("line", MISTYPED)
def test_a_mistyped_argument_is_named_as_it_was_typed_with_what_may_be_meant(ran: Ran, line: str) -> None:
    """A short option of click is never seen in a longer one, and a value is never shown."""
    code, out, err = ran(*shlex.split(line.replace("URI", "etcd://127.0.0.1:1/services")))
    assert (code, out) == (1, "")
    assert err.splitlines()[1:] == [f"wharfinger: {each}" for each in MISTYPED[line]]


@pytest.mark.parametrize(
    "line", ["-ip -1", "reconcile -ojson", "-tags reconcil", "-- -ipp", "-ip=10.0.0.1 true", "--no-internal true"]
)
def test_what_is_not_mistyped_is_left_to_the_checks_of_its_value(ran: Ran, line: str) -> None:
    """The value of an option, a short option with its value, and what follows two hyphens are not looked at."""
    _, _, err = ran(*shlex.split(line), "consul://x")
    assert "registry URI 'consul://x'" in err
    assert "No such option" not in err
    assert "did you mean" not in err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("INTERVALL", "INTERVAL"),
        ("IP_ADDRESS", "IP"),
        ("CA", "ETCD_CA"),
        ("interval", "INTERVAL"),
        ("ETCDCA", "ETCD_CA"),
        ("SERVICE_PORT_9119_TCP", ""),
        ("", ""),
    ],
)
def test_the_closest_name_is_found(typed: str, meant: str) -> None:
    """It differs in a letter or two, in case, hyphens and underscores, or by a word in front or behind."""
    assert closest(typed, ["ETCD_CA", "IP", "IP_FAMILY", "INTERVAL"]) == meant
