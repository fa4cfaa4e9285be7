"""`--strict-names`: containers with names that harm whoever pastes them into a template, on a real engine."""

from __future__ import annotations

from tests.support.host import Host

NAME, ID = "letters, digits and '-'", "letters, digits, '-', '_', '.' and ':'"

#: Names and ids that are refused: what sets each of them, and how the refusal begins.
HARMFUL = {
    "block": (
        ("-e", "SERVICE_NAME=x {server {listen 81;}} server {listen 82;}"),
        f"has the character ' ', and --strict-names allows only ASCII {NAME}  (bad-name)",
    ),
    "star": (("-l", "SERVICE_9000_NAME=*"), f"has the character '*', and --strict-names allows only ASCII {NAME}"),
    "quote": (("-l", 'SERVICE_NAME=a"b'), f"has the character '\"', and --strict-names allows only ASCII {NAME}"),
    "path": (("-e", "SERVICE_9000_tcp_NAME=a/b/c"), "has the character '/'"),
    "accent": (("-e", "SERVICE_NAME=café"), "has the character 'é'"),
    "template": (
        ("-l", "SERVICE_ID={{printf}}"),
        f"has the character '{{', and --strict-names allows only ASCII {ID}  (bad-id)",
    ),
    "spelled": (("-e", "SERVICE_NAME=TXT"), "differs in case alone from 'txt' of container 'first'"),
    "twin": (("-l", "SERVICE_9000_ID=Db.1"), "differs in case alone from 'db.1' of container 'custom'"),
}


def test_strict_names_refuse_what_would_harm_a_template(host: Host) -> None:
    """The refusal names the label or variable and the flag. Other containers are registered. Without the flag all names
    are registered, as with registrator, and with it their keys are removed again."""
    run = host.engine.docker
    run("run", "-d", "--name", "first", "-P", "-e", "SERVICE_NAME=txt", "worker:1")
    run("run", "-d", "--name", "custom", "-P", "-l", "SERVICE_ID=db.1", "worker:1")
    for name, (given, _) in HARMFUL.items():
        run("run", "-d", "--name", name, "-P", *given, "worker:1")
    assert "10 to create" in host.reconcile().stdout
    done = host.reconcile("--strict-names", "--force")
    for name, ((flag, text), why) in HARMFUL.items():
        kind, variable = "label" if flag == "-l" else "environment variable", text.partition("=")[0]
        (line,) = (line for line in done.stdout.splitlines() if line.startswith(f"! {name} "))
        assert " ".join(line.split()).startswith(f"! {name} 9000/tcp {kind} {variable} '"), line
        assert why in line
    assert host.keys().keys() == {f"txt/{host.owner}:first:9000", "worker/db.1"}
