"""The line at which a writer types: the likeliest word in grey, the odds of others below, and what was typed before."""

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

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

from charlstm.cli.commands import as_typed, command_in, in_session
from charlstm.display import console
from charlstm.display.visible import visible_in_line
from charlstm.errors import CharLSTMError, StorageError
from charlstm.files import cache_folder, is_temporary

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
