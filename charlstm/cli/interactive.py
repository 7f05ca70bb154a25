"""`charlstm sample --interactive`: a text that is written in turns, with what the model expects in grey.

Without a terminal on both sides, the lines of standard input are the turns.
"""

import asyncio
import codecs
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import typer
from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import is_dumb_terminal
from rich.text import Text

from charlstm.cli.commands import as_typed, command_in, in_session, obey
from charlstm.display import console
from charlstm.display.visible import visible, visible_in_line, visible_pieces
from charlstm.errors import CharLSTMError, StorageError
from charlstm.files import cache_folder, is_temporary
from charlstm.text.spool import standard_input

if TYPE_CHECKING:
    from charlstm.sampling.completion import Completion
    from charlstm.sampling.session import Session

_MAX_HISTORY = 1_000_000  # bytes; of a larger file the second half is kept
_KEYS = " Tab takes it  Ctrl-N another  Enter goes on  Alt-Enter new line  Ctrl-D ends"
_STYLE = {
    "prompt": "ansibrightblack", "bottom-toolbar": "noreverse", "bottom-toolbar.text": "ansibrightblack",
    "chosen": "bold noinherit", "remark": "ansired",
    "auto-suggestion": "underline" if os.environ.get("NO_COLOR") else "#767676",
}  # fmt: skip


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


class Writer:
    """The line at which a writer types, and below it the odds of what may follow."""

    def __init__(self, session: "Session") -> None:
        self.found: list[Completion] = []  # what is expected after the text as it is now
        self._session = session
        self._chosen = 0
        self._remark = ""
        self._changed = asyncio.Event()
        self._prompt: PromptSession[str] = PromptSession(
            "> ", key_bindings=self._keys(), bottom_toolbar=self._toolbar, style=Style.from_dict(_STYLE),
            history=_history(), erase_when_done=True, enable_suspend=True, prompt_continuation="  ",
        )  # fmt: skip
        self.buffer = self._prompt.default_buffer
        self.buffer.on_text_changed += self._forget

    def ask(self, line: str = "") -> str:
        """A line, or what was pasted of several; `line` is there to be edited.

        Raises:
            EOFError: there is none any more.
        """
        return self._prompt.prompt(default=line, pre_run=self._begin)

    def _begin(self) -> None:
        self.found, self._remark, self._changed = [], "", asyncio.Event()
        self._changed.set()
        get_app().create_background_task(self._predict())

    async def _predict(self) -> None:
        """Ask for what is expected whenever the text has changed; what comes too late is dropped."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            text = self.buffer.text
            found, remark = list["Completion"](), ""
            if not command_in(text):
                predicting = asyncio.to_thread(self._session.predict, as_typed(text))
                try:
                    found = [each for each in await predicting if each.text]
                except CharLSTMError as error:
                    remark = in_session(error.raw_message)
                except Exception as error:
                    get_app().exit(exception=error)
                    return
            if self.buffer.text == text:
                self.found, self._remark = found, remark
                self._choose(0)

    def _forget(self, _: Buffer) -> None:
        """The text has changed, and what was found is out of date."""
        self.found, self._remark = [], ""
        self._changed.set()

    def _choose(self, number: int) -> None:
        """Offer one of what was found, in grey."""
        self._chosen = number
        grey = visible_in_line(self.found[number].text, mark_edges=False) if self.found else ""
        self.buffer.suggestion = Suggestion(grey) if grey else None
        get_app().invalidate()

    def _toolbar(self) -> StyleAndTextTuples:
        """What may follow with its odds, and the keys."""
        odds = [
            ("class:chosen" if number == self._chosen else "",
             f" {visible_in_line(each.text)} {console.percent(each.probability)} ")
            for number, each in enumerate(self.found)
        ]  # fmt: skip
        return [*odds, ("class:remark", f" {visible_in_line(self._remark)}"), ("", f"\n{_KEYS}")]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        is_typing = has_focus(DEFAULT_BUFFER)  # and not looking for something in the history
        is_offered = is_typing & Condition(lambda: bool(self.found) and self.buffer.document.is_cursor_at_the_end)

        @keys.add("tab", filter=is_offered)
        @keys.add("right", filter=is_offered)
        @keys.add("c-e", filter=is_offered)
        @keys.add("c-f", filter=is_offered)
        @keys.add("escape", "f", filter=is_offered)
        def _take(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text(self.found[self._chosen].text)

        @keys.add("tab", filter=is_typing & ~is_offered)
        def _ignore(event: KeyPressEvent) -> None:
            """A tab is no text: it would come from a second press that was too quick."""

        @keys.add("c-n", filter=is_offered)
        def _next(event: KeyPressEvent) -> None:
            self._choose((self._chosen + 1) % len(self.found))

        @keys.add("escape", "enter", filter=is_typing)
        def _new_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-c", filter=is_typing)
        @keys.add("<sigint>", filter=is_typing)
        def _clear(event: KeyPressEvent) -> None:
            if not event.current_buffer.text:
                self._remark = "Ctrl-D ends the session"
            event.current_buffer.document = Document()

        return keys


class _History(FileHistory):
    """What was typed, in a file; where that cannot be read or written any more, nothing is lost but this."""

    def load_history_strings(self) -> Iterable[str]:
        with suppress(OSError):
            return list(super().load_history_strings())
        return []

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            super().store_string(string)


def _history() -> History:
    """That of all sessions, in a file that nobody else may read; or of this one alone, if there can be no such file."""
    try:
        path = cache_folder("history") / "sample"
        if is_temporary(path):
            return InMemoryHistory()
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if path.stat().st_size > _MAX_HISTORY:
            path.write_bytes(path.read_bytes()[-_MAX_HISTORY // 2 :].partition(b"\n\n")[2])
    except (OSError, StorageError):
        return InMemoryHistory()
    return _History(str(path))
