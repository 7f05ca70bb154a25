"""What may be said to an interactive session beside text: lines that begin with a slash."""

import difflib
import typing

from charlstm.errors import ConfigError, setting, worded
from charlstm.files import atomic_write, is_no_file, user_path
from charlstm.options import SampleOptions, Unknown
from charlstm.schema import fits, options_in

if typing.TYPE_CHECKING:
    from charlstm.sampling.session import Session

_KINDS: dict[object, typing.Callable[[str], object]] = {
    int: int, int | None: int, float: float, str | None: str, str | list[str] | None: str,
    Unknown: str,
}  # fmt: skip
_HINTS = typing.get_type_hints(SampleOptions)
_OPTIONS = {name: _KINDS[_HINTS[name]] for name in options_in(SampleOptions) if _HINTS[name] in _KINDS}
_COMMANDS = {
    "again": "Take the last turn back, and have another one in its place.",
    "undo": "Take the last turn back.",
    "reset": "Forget everything.",
    "save": "Write the whole text to a file, as in /save tale.txt.",
    "help": "Show this.",
}


def command_in(line: str) -> tuple[str, str] | None:
    """The name and the argument of a command, or None where `line` is text; `//` is a slash."""
    if not line.startswith("/") or line.startswith("//"):
        return None
    name, _, value = line[1:].partition(" ")
    return name.strip(), value.strip()


def as_typed(line: str) -> str:
    """The text that a line stands for which is no command."""
    return line.removeprefix("/") if line.startswith("//") else line


def obey(session: "Session", name: str, value: str) -> str:
    """Do what a command says, except to sample; what there is to say of it.

    Raises:
        ConfigError: there is no such command, or it does not take this value.
        StorageError: the file cannot be written.
    """
    option = name.replace("-", "_")
    if option in _OPTIONS:
        return _change(session, option, value)
    if name not in _COMMANDS:
        near = difflib.get_close_matches(name.lower(), [*_COMMANDS, *map(_as_command, _OPTIONS)], 1)
        raise ConfigError(
            f"there is no command /{name}",
            (f"did you mean /{near[0]}? " if near else "")
            + "/help lists them; a text that begins with / begins with //",
        )
    if name == "help":
        return _help(session)
    if name == "save":
        return _save(session, value)
    if name == "undo":
        session.undo()
        return "the last turn is taken back"
    session.reset()
    return "all is forgotten"


def _change(session: "Session", option: str, value: str) -> str:
    from charlstm.cli.escapes import unescaped

    if value:
        parse = _OPTIONS[option]
        if value == "-" and fits(None, _HINTS[option]):
            session.change(**{option: None})
        elif parse is str:
            session.change(**{option: unescaped(value, session.vocabulary.unit, option)})
        else:
            try:
                number = parse(value)
            except ValueError:
                raise ConfigError(f"{setting(option, value)} is no {'whole ' if parse is int else ''}number") from None
            session.change(**{option: number})
    return f"/{_as_command(option)} {_now(session, option)}"


def _now(session: "Session", option: str) -> str:
    """The value of an option as it can be typed; of several texts, all of them."""
    value = getattr(session.options, option)
    if isinstance(value, list):
        value = ", ".join(value) or None
    if isinstance(value, str):
        return value.translate({ord("\\"): "\\\\", ord("\n"): "\\n", ord("\t"): "\\t"})
    return str(value) if value or value == 0 else "-"


def _save(session: "Session", value: str) -> str:
    if not value:
        raise ConfigError("/save needs the name of a file", "as in /save tale.txt")
    path = user_path(value)
    if is_no_file(path):
        raise ConfigError(f"{value} is not a file", "name one")
    text, vocabulary = session.text, session.vocabulary
    with atomic_write(path) as file:
        file.write(vocabulary.to_bytes(vocabulary.symbols_of(text)))
    return f"{len(text):,} characters saved in {path}"


def _help(session: "Session") -> str:
    abouts = options_in(SampleOptions)
    rows = [(f"/{name}", text) for name, text in _COMMANDS.items()]
    for name in _OPTIONS:
        rows.append((f"/{_as_command(name)} {_now(session, name)}", abouts[name].help))
    width = max(len(first) for first, _ in rows)
    return "\n".join(f"{first:{width}}  {text}" for first, text in rows)


def _as_command(option: str) -> str:
    """`top-k`."""
    return option.replace("_", "-")


def in_session(sentence: str) -> str:
    """A sentence of an error, with its settings worded as commands: `/top-k 3`."""
    return worded(sentence, lambda name, value: f"/{_as_command(name)}{'' if value is None else f' {value}'}")
