"""What the operator may have meant by an option, a command or an environment variable that does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

import click

from controller.errors import WrongUsage

#: Dashes that some programs put in the place of hyphens.
_OTHER_DASHES = ("\N{EN DASH}", "\N{EM DASH}", "\N{MINUS SIGN}", "\N{NON-BREAKING HYPHEN}", "\N{HYPHEN}")

#: The name of the argument that takes the registry URIs. A word among them may be a mistyped command.
URIS = "uris"


#: How the value of a switch may be written.
_TRUTH_VALUES = frozenset({"true", "false"})

#: What is meant by words that are like another command, or like none.
_OTHER_NAMES = {"dry-run": "reconcile --dry-run", "dryrun": "reconcile --dry-run", "registrator": "run", "start": "run"}


class Command(click.Command):
    """A command that names each argument it does not understand as it was typed, and says what may have been meant.

    click itself reads ``-ipp`` as the short option ``-i``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raises WrongUsage for those that can only be mistyped, and errors of click."""
        if problems := list(_mistyped(ctx, self, args)):
            raise WrongUsage(problems)
        return super().parse_args(ctx, args)


def closest(typed: str, known: Iterable[str]) -> str:
    """Return the known name that is most like what was typed, or an empty string if none is like it.

    Capital letters, hyphens and underscores do not count. A name is also like another one if it begins or ends with it,
    as a whole word: ``-ip`` for ``--ip-address``, and ``--etcd-ca`` for ``--ca``. Of two spellings of one name, the one
    with as many hyphens in front as were typed is returned.
    """
    spellings: dict[str, list[str]] = {}
    for name in known:
        spellings.setdefault(_letters(name), []).append(name)
    found = get_close_matches(_letters(typed), spellings, n=1)
    found += [letters for letters, names in spellings.items() if _have_a_word_in_common(typed, names[0])]
    if not found:
        return ""
    names = spellings[found[0]]
    return next((name for name in names if _dashes(name) == _dashes(typed)), names[0])


def _letters(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _have_a_word_in_common(typed: str, name: str) -> bool:
    """Return whether one of the two names begins or ends with the other as a whole word."""
    one, other = (f"-{each.lower().replace('_', '-').strip('-')}-" for each in (typed, name))
    return one.startswith(other) or one.endswith(other) or other.startswith(one) or other.endswith(one)


def _dashes(name: str) -> int:
    return len(name) - len(name.lstrip("-"))


def _mistyped(ctx: click.Context, command: click.Command, arguments: Sequence[str]) -> list[str]:
    """Return a message for each argument that can only be mistyped. If one of them was meant as a command, the options
    are those of that command, so nothing is said about them. What follows a mistyped option may be its value, so it is
    not judged."""
    options = _options(command.get_params(ctx))
    given = [*_with_values(arguments, options)]
    before = ["", *(each for each, _ in given)]
    words = [
        (each, left if _is_switch(left, options) else "")
        for (each, _), left in zip(given, before, strict=False)
        if not (_is_option(each) or _unknown(left, options))
    ]
    arguments_in_order = [each.name for each in command.params if isinstance(each, click.Argument)]
    first_uri = arguments_in_order.index(URIS) if URIS in arguments_in_order else len(words)
    problems = [_word_problem(ctx, each, switch) for each, switch in words[first_uri:]]
    if not any(problems):
        problems = [_option_problem(ctx, each, value, options) for each, value in given if _is_option(each)]
    return [each for each in problems if each]


def _with_values(arguments: Sequence[str], options: Mapping[str, click.Option]) -> Iterator[tuple[str, str | None]]:
    """Yield each argument before ``--`` that is not the value of an option, with the next argument if that is its
    value."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            return
        option = options.get(argument)
        yield argument, next(rest, None) if option and not option.is_flag else None


def _unknown(argument: str, options: Mapping[str, click.Option]) -> bool:
    """Return whether the argument is an option that does not exist, and that has no value attached."""
    return _is_option(argument) and "=" not in argument and argument not in options


def _is_switch(argument: str, options: Mapping[str, click.Option]) -> bool:
    """Return whether the argument turns a switch on that can be turned off, too, and so may have a value."""
    option = options.get(argument)
    return option is not None and argument in option.opts and bool(option.secondary_opts)


def _is_option(argument: str) -> bool:
    return argument.startswith("-") and argument != "-"


def _option_problem(ctx: click.Context, argument: str, value: str | None, options: Mapping[str, click.Option]) -> str:
    """Return a message about an option that does not exist, or whose value is the next option; empty for any other."""
    name = argument.partition("=")[0]
    if name not in options:
        return "" if _has_value_attached(argument, options) else _no_such_option(ctx, name, options)
    following = (value or "").partition("=")[0]
    return (
        f"Option {name!r} requires an argument, but {following!r} is the next option." if following in options else ""
    )


def _no_such_option(ctx: click.Context, name: str, options: Mapping[str, click.Option]) -> str:
    """Return the message for an option that a command does not have. What follows a space in it is not shown, because
    it may be a password."""
    first, *more = name.split(maxsplit=1)
    if more and first in options:
        return f"No such option '{first} …'. The option and its value have to be two arguments, or joined by '='."
    return f"No such option {name!r}.{_meant(ctx, name, options)}"


def _options(parameters: Iterable[click.Parameter]) -> dict[str, click.Option]:
    """Return the options among the parameters of a command, by each of their spellings."""
    options = [each for each in parameters if isinstance(each, click.Option)]
    return {spelling: each for each in options for spelling in (*each.opts, *each.secondary_opts)}


def _has_value_attached(argument: str, options: Mapping[str, click.Option]) -> bool:
    """Return whether the argument is a short option with its value, as in ``-ojson``."""
    option = options.get(argument[:2])
    return option is not None and isinstance(option.type, click.Choice) and argument[2:] in option.type.choices


def _meant(ctx: click.Context, name: str, options: Mapping[str, click.Option]) -> str:
    """Return a sentence about what was meant by an option that a command does not have; empty if nothing is like it.

    The same name in another command is more likely than a similar one in this command.
    """
    near = closest(name, options)
    if not near or _letters(near) != _letters(name):
        others = {each: closest(name, _options(other.params)) for each, other in _all_commands(ctx).items()}
        having = {each: spelling for each, spelling in others.items() if _letters(spelling) == _letters(name)}
        if having:
            spelling = next(iter(having.values()))
            return f" {spelling!r} is an option of {' and '.join(repr(each) for each in having)}."
    return f" Did you mean {near!r}?" if near else ""


def _all_commands(ctx: click.Context) -> Mapping[str, click.Command]:
    """Return the program and its commands, by what has to be typed to run them."""
    root = ctx.find_root()
    commands = {str(root.info_name): root.command}
    if isinstance(root.command, click.Group):
        for name in root.command.list_commands(root):
            if command := root.command.get_command(root, name):
                commands[f"{root.info_name} {name}"] = command
    return commands


def _word_problem(ctx: click.Context, word: str, switch: str) -> str:
    """Return a message about a word that is no registry URI, and is like a command or the value of a switch; empty for
    any other word. ``switch`` is the one before the word, empty if there is none."""
    root = ctx.find_root()
    if switch and word.lower() in _TRUTH_VALUES:
        return f"registry URI {word!r}: the value of a switch is joined to it by '=', as in {switch}={word.lower()}"
    if word.startswith(_OTHER_DASHES):
        return f"registry URI {word!r}: it begins with a dash that is no hyphen; type '-' in its place"
    if "://" in word or not isinstance(root.command, click.Group):
        return ""
    commands = root.command.list_commands(root)
    if word in commands:
        return f"registry URI {word!r}: it is a command, which has to come first, as in '{root.info_name} {word}'"
    meant = _OTHER_NAMES.get(word.lower()) or closest(word, (*commands, "--help", "--version"))
    return f"registry URI {word!r}: it has no scheme; did you mean '{root.info_name} {meant}'?" if meant else ""
