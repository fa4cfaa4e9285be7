"""The format of the log, and that no text can forge a line of it."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from controller import logs
from controller.effects.background import Threads
from controller.effects.log_writer import LogWriter
from tests.support.processes import REPOSITORY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("logging_restored")

#: Seconds within which any machine has written a line.
PATIENCE = 10.0

#: Texts with which a container could try to forge a line of the log or control the terminal.
NASTY = {
    "a new line": "web\n2026-01-01T00:00:00Z [info     ] forged",
    "carriage return": "web\rforged",
    "colour": "\x1b[31mred",
    "title": "\x1b]0;title\x07",
    "one-byte escape": "\x9b31m",
    "vertical tab and form feed": "a\x0bb\x0cc",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "reversed": "a\u202eb",
    "lone surrogate": "a\udc80b",
    "null": "a\x00b",
    "delete": "a\x7fb",
}


@pytest.fixture
def written(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return a function that returns what was written to standard error since its last call."""

    def written() -> str:
        flush()
        return capfd.readouterr().err

    return written


def flush() -> None:
    """Wait until all that was logged is written."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def configured(form: str, level: str = "info", *, colour: bool = False) -> Any:
    """Configure the log, and return a logger."""
    logs.configure(form, level, LogWriter(Threads(), patience=PATIENCE), colour=colour)
    return logs.logger("wharfinger.test")


def test_a_line_of_text_has_time_level_message_logger_and_fields(written: Callable[[], str]) -> None:
    """They are in this order. Fields are in the given order, and are quoted if they have spaces."""
    configured("text").info("change applied", key="/a/b", value="x y", count=3)
    pattern = (
        r"\d{4}-\d\d-\d\dT[\d:.]+Z \[info     \] change applied \[wharfinger.test\] key=/a/b value='x y' count=3\n"
    )
    assert re.fullmatch(pattern, written())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", ""),
        ("it's", '"it\'s"'),
        ("a=b", "'a=b'"),
        ('"', "'\"'"),
        ("ä", "ä"),
        (None, "None"),
        (2.5, "2.5"),
        (("a",), "('a',)"),
    ],
)
def test_a_field_that_can_be_misread_is_quoted(written: Callable[[], str], value: object, shown: str) -> None:
    """What is no text is shown as Python shows it."""
    configured("text").info("said", value=value, last=1)
    assert written().endswith(f" said [wharfinger.test] value={shown} last=1\n")


def test_a_line_of_text_without_a_message_has_no_gap(written: Callable[[], str]) -> None:
    """A library may log an empty message."""
    configured("text")
    logging.getLogger("docker").warning("")
    assert written().endswith("Z [warning  ] [docker]\n")


@pytest.mark.parametrize(("level", "style"), [("debug", 32), ("info", 32), ("warning", 33), ("error", 31)])
def test_a_coloured_line_has_a_style_for_each_part(written: Callable[[], str], level: str, style: int) -> None:
    """The level tells how severe the line is."""
    getattr(configured("text", "debug", colour=True), level)("said", key="/a b")
    stamp, rest = written().split(" ", 1)
    assert re.fullmatch(r"\x1b\[2m[-\dT:.]+Z\x1b\[0m", stamp)
    assert rest == (
        f"[\x1b[{style}m\x1b[1m{level:<9}\x1b[0m] \x1b[1msaid\x1b[0m "
        "[\x1b[0m\x1b[1m\x1b[34mwharfinger.test\x1b[0m]\x1b[0m \x1b[36mkey\x1b[0m=\x1b[35m'/a b'\x1b[0m\n"
    )


@pytest.mark.parametrize("form", logs.FORMATS)
def test_a_field_of_each_line_is_on_the_lines_of_one_thread(written: Callable[[], str], form: str) -> None:
    """What a library logs in this thread has the field, too. A line's own field of the same name counts."""
    log = configured(form)

    def in_thread() -> None:
        logs.add_to_each_line(registry="etcd")
        log.info("one")
        logging.getLogger("docker").warning("two")
        log.info("three", registry="own")

    Threads().start(in_thread, name="loop").join(PATIENCE)
    log.info("four")
    found = [re.search(r"registry\W+(\w+)", line) for line in written().splitlines()]
    assert [match and match[1] for match in found] == ["etcd", "etcd", "own", None]


def test_an_error_that_is_no_longer_handled_has_no_traceback(written: Callable[[], str]) -> None:
    """A library may ask for one nevertheless."""
    configured("text")
    logging.getLogger("docker").exception("it failed")
    assert written().endswith("Z [error    ] it failed [docker]\n")


def test_a_line_of_json_has_the_same(written: Callable[[], str]) -> None:
    """Each line is a JSON document."""
    configured("json").warning("port refused", port="80/tcp")
    line = json.loads(written())
    assert [*line] == ["port", "event", "level", "logger", "timestamp"]
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "port refused", "level": "warning", "logger": "wharfinger.test", "port": "80/tcp"}


@pytest.mark.parametrize(("level", "count"), [("trace", 4), ("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_lines_below_the_level_are_left_out(written: Callable[[], str], level: str, count: int) -> None:
    """A level includes the more severe ones."""
    log = configured("text", level)
    for say in (log.debug, log.info, log.warning, log.error):
        say("said")
    assert len(written().splitlines()) == count


@pytest.mark.parametrize(("level", "heard"), [("trace", 5), ("debug", 1), ("info", 1), ("warning", 1), ("error", 0)])
def test_what_libraries_say_of_each_request_is_heard_at_level_trace_alone(
    written: Callable[[], str], level: str, heard: int
) -> None:
    """That includes the errors that some of them log about each failed request. Their warnings are always heard."""
    configured("text", level)
    for name in ("docker.auth", "etcd.client", "urllib3.connectionpool"):
        logging.getLogger(name).debug("asking")
    logging.getLogger("etcd.client").error("it failed")
    logging.getLogger("asyncio").warning("odd")
    assert len(written().splitlines()) == heard


@pytest.mark.parametrize("colour", [False, True], ids=["plain", "coloured"])
def test_the_log_has_colour_only_if_it_is_wanted(written: Callable[[], str], colour: bool) -> None:
    """Without it there are no escape sequences."""
    configured("text", colour=colour).info("said")
    assert ("\x1b[" in written()) is colour


@pytest.mark.parametrize("form", logs.FORMATS)
@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_a_value_cannot_forge_a_line_or_control_the_terminal(written: Callable[[], str], form: str, text: str) -> None:
    """A container's name stays within its field, on one line."""
    configured(form).warning("port refused", container=text, port="80/tcp")
    line = written()
    assert line.endswith("\n")
    assert not re.search(r"[\x00-\x1f\x80-\x9f\u2028\u2029\u202e]", line[:-1])
    if form == "json":
        assert json.loads(line)["container"] == text
    else:
        assert f"container={text!r} port=80/tcp\n" in line


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_a_message_of_a_library_cannot_forge_a_line_or_control_the_terminal(
    written: Callable[[], str], text: str
) -> None:
    """Such messages are not constants. Those of waitress, for example, hold the path that a client asked for."""
    configured("text")
    logging.getLogger("waitress").warning("Exception while serving %s", text)
    (line,) = written().split("\n")[:-1]
    assert line.isprintable()


def test_a_list_is_escaped_as_its_elements_are(written: Callable[[], str]) -> None:
    """Values that are not text are shown as Python shows them, which escapes."""
    configured("text").info("started", endpoints=["a\x1b[0m", "b\nc"])
    assert written().endswith("endpoints=['a\\x1b[0m', 'b\\nc']\n")


def test_a_traceback_is_indented_below_its_line(written: Callable[[], str]) -> None:
    """Its lines may hold a container's text, and none of them can be mistaken for a message."""
    log = configured("text")
    try:
        raise ValueError("bad\n2026-01-01T00:00:00Z [info     ] forged \x1b[31m")
    except ValueError:
        log.exception("pass broke, please report this")
    first, *rest = written().split("\n")[:-1]
    assert "pass broke, please report this" in first
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-1] == "    2026-01-01T00:00:00Z [info     ] forged \\x1b[31m"
    assert all(line.startswith("    ") for line in rest)


def test_a_traceback_of_a_library_is_indented_and_shows_no_variables(written: Callable[[], str]) -> None:
    """The values of variables may be secret."""
    secret = "hunter" + str(2)
    configured("text")
    try:
        raise ValueError(len(secret))
    except ValueError:
        logging.getLogger("waitress").exception("Exception while serving /")
    text = written()
    assert "\n    ValueError: 7\n" in text
    assert secret not in text


def test_a_traceback_in_json_is_part_of_its_line(written: Callable[[], str]) -> None:
    """It is not changed, since a program shows it."""
    log = configured("json")
    try:
        raise ValueError("bad\nnews")
    except ValueError:
        log.exception("pass broke, please report this")
    (line,) = written().splitlines()
    assert json.loads(line)["exception"].endswith("ValueError: bad\nnews")


@pytest.mark.parametrize("name", ["etcd.client", "urllib3.connectionpool", "waitress.queue"])
def test_libraries_that_log_every_failed_request_are_silenced(written: Callable[[], str], name: str) -> None:
    """The pass already reports the failure once."""
    configured("text", "debug")
    logging.getLogger(name).error("Retrying (Retry(total=0...")
    assert written() == ""


def test_the_last_configuration_counts(written: Callable[[], str]) -> None:
    """A logger that exists already follows it, too."""
    log = configured("text")
    log.info("one")
    flush()
    configured("json")
    log.info("two")
    first, second = written().splitlines()
    assert " one " in first
    assert json.loads(second)["event"] == "two"


@pytest.mark.parametrize(("form", "level"), [("text", "[warning  ]"), ("json", '"level": "warning"')])
def test_the_log_tells_how_many_of_its_lines_were_lost(form: str, level: str) -> None:
    """That line has the format of the log, and stands before the first line that could be written again."""
    full, received, counted = [True], io.BytesIO(), list[int]()

    def write(data: bytes) -> int:
        if full[0]:
            raise OSError("no space left on device")
        return received.write(data)

    logs.configure(form, "info", LogWriter(Threads(), write, PATIENCE), colour=False)
    log = logs.logger("wharfinger.test")
    log.info("one")
    flush()
    logs.report_lost_lines(counted.append)
    log.info("two")
    flush()
    full[0] = False
    log.info("three")
    flush()
    told, line = received.getvalue().decode().splitlines()
    assert all(text in told for text in ("lines of the log were lost", "wharfinger.log", "2", level))
    assert re.search(r"lines\W+2", told)
    assert "three" in line
    assert counted == [1, 1]


def test_what_a_library_logs_and_cannot_be_formatted_is_counted(written: Callable[[], str]) -> None:
    """Such a line counts as lost. Python's own handler would print a traceback to standard error."""
    configured("text")
    logging.getLogger("waitress").warning("%d", "no number")
    counted = list[int]()
    logs.report_lost_lines(counted.append)
    assert (written(), counted) == ("", [1])


def test_a_warning_is_a_line_of_the_log(written: Callable[[], str]) -> None:
    """Python itself would print the warning to standard error, and would wait there for a reader."""
    configured("text")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
    assert "soon gone" in written()


def test_errors_that_nobody_caught_are_lines_of_the_log(written: Callable[[], str]) -> None:
    """Such errors end a thread of a library or the whole program, or come from a destructor."""
    configured("json")

    class Odd:
        def __del__(self) -> None:
            raise RuntimeError("in a destructor")

    def end() -> None:
        raise RuntimeError("in a thread")

    Threads().start(end, name="ends").join(PATIENCE)
    odd = Odd()
    del odd
    error = RuntimeError("in the program")
    sys.excepthook(RuntimeError, error, error.__traceback__)
    lines = wait_until(lambda: [json.loads(line) for line in written().splitlines()], what="the lines")
    assert [line["level"] for line in lines] == ["error"] * 3
    assert [line["exception"].rpartition(": ")[2] for line in lines] == [
        "in a thread",
        "in a destructor",
        "in the program",
    ]


#: The source of a program that an error ends.
ENDED_BY_AN_ERROR = """
from controller import logs
from controller.effects.background import Threads
from controller.effects.log_writer import LogWriter
logs.configure("json", "info", LogWriter(Threads()), colour=False)
logs.logger("wharfinger").info("started")
raise RuntimeError("unforeseen")
"""


def test_the_last_lines_of_a_program_are_written_whatever_ends_it() -> None:
    """An error that nobody caught is the last line, and the program has the exit code that Python gives it."""
    done = subprocess.run(
        [sys.executable, "-c", ENDED_BY_AN_ERROR], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    started, ended = map(json.loads, done.stderr.splitlines())
    assert started["event"] == "started"
    assert ended["event"] == "program ended by an error"
    assert ended["exception"].endswith("RuntimeError: unforeseen")
