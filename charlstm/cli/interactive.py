"""`charlstm sample --interactive`: a text that is written in turns, with what the model expects in grey.

Without a terminal on both sides, the lines of standard input are the turns.
"""

import codecs
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import typer
from prompt_toolkit.utils import is_dumb_terminal
from rich.text import Text

from charlstm.cli.commands import as_typed, command_in, in_session, obey
from charlstm.cli.writer import Writer
from charlstm.display import console
from charlstm.display.visible import visible, visible_pieces
from charlstm.errors import CharLSTMError
from charlstm.text.spool import standard_input

if TYPE_CHECKING:
    from charlstm.sampling.session import Session


def interact(session: "Session", prompt: str, echo: bool) -> None:
    """Take turns until the input ends; a `prompt` is the first of them.

    Raises:
        typer.Exit: lines of a pipe were refused; each was said.
    """
    if sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
        _at_terminal(session, prompt, echo)
    elif not _through_pipe(session, [prompt] if prompt else [], echo):
        raise typer.Exit(1)


def _at_terminal(session: "Session", prompt: str, echo: bool) -> None:
    session.predict("")  # what is to be compiled is compiled before the first key
    writer = Writer(session)
    echo = echo and not is_dumb_terminal()  # where what was typed stays
    line, text = "", prompt or None
    while True:
        try:
            if text is None:
                line = writer.ask(line)
                text = _obeyed(session, line)
            if text is not None:
                with _no_echo(), _interrupts() as is_interrupted, closing(session.turn(text)) as pieces:
                    if echo:
                        console.out.print(Text(visible(text), style="bold"), end="")
                    _write(session, _until(is_interrupted, pieces))
            line, text = "", None
        except CharLSTMError as error:
            console.show_error(error, wording=in_session)
            text = None
        except EOFError:
            return
        except KeyboardInterrupt:  # of a dumb terminal
            console.note("Ctrl-D ends the session")
            line, text = "", None


def _through_pipe(session: "Session", first: list[str], echo: bool) -> bool:
    """Take the lines of standard input as turns, and say whether all could be."""
    is_well = True
    for line in _lines(first):
        try:
            if (text := _obeyed(session, line)) is None:
                continue
            turn = session.turn(text)
        except CharLSTMError as error:
            console.show_error(error, wording=in_session)
            is_well = False
            continue
        with closing(turn):
            if echo:
                _write(session, [text], is_whole=False)
            _write(session, turn)
    return is_well


def _lines(first: list[str]) -> Iterator[str]:
    yield from first
    for line in standard_input():
        yield line.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")


def _obeyed(session: "Session", line: str) -> str | None:
    """Do what a line says if it is a command; otherwise, and for `/again`, the text of the turn that it begins."""
    if not (command := command_in(line)):
        return as_typed(line)
    if command[0] == "again":
        return session.undo()
    console.note(obey(session, *command))
    return None


def _write(session: "Session", pieces: Iterable[str], is_whole: bool = True) -> None:
    """Write text as it comes: shown on a terminal, exact elsewhere; what is whole ends with a line end."""
    last = ""

    def parts() -> Iterator[bytes]:
        nonlocal last
        for piece in pieces:
            last = piece or last
            yield session.vocabulary.to_bytes(session.vocabulary.symbols_of(piece))

    on_terminal = sys.stdout.isatty()
    for part in visible_pieces(codecs.iterdecode(parts(), "utf-8", "backslashreplace")) if on_terminal else parts():
        console.write(part)
    if is_whole and not last.endswith("\n"):
        console.write("\n")


def _until(is_over: Callable[[], bool], pieces: Iterable[str]) -> Iterator[str]:
    """`pieces` as long as it is not over."""
    for piece in pieces:
        yield piece
        if is_over():
            return


@contextmanager
def _no_echo() -> Iterator[None]:
    """Within the block a terminal does not show what is typed: it would stand in the middle of the text."""
    try:
        import termios

        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
    except (ImportError, OSError, ValueError):  # Windows; no real terminal
        yield
        return
    termios.tcsetattr(number, termios.TCSADRAIN, [*before[:3], before[3] & ~termios.ECHO, *before[4:]])
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Within the block Ctrl-C is only noted, however often it comes."""
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, before)
