"""What can go wrong through no fault of this program.

    CharLSTMError            one sentence, and a hint at the way out; exit status 1
    ├── ConfigError          a setting is out of range or contradicts another; exit status 2
    ├── CorpusError          a text cannot be read: missing, empty, wrongly encoded
    │   └── DownloadError    a named corpus cannot be downloaded or is not what it should be
    ├── VocabularyError      a character is not among those that the model knows
    ├── RunError             a run or weights file is missing, damaged or of another format
    ├── TrainingError        the numbers went wrong: the loss is not finite
    ├── StorageError         the disk is full, or writing is not permitted
    ├── HostError            another process that trains the same run is lost, or does not fit
    └── MemoryLimitError     something needs more memory than there is

Each is raised where the fact is known. A sentence names settings by `setting("unit", "byte")`, and whoever shows it
words them: as Python arguments, `unit="byte"`, or, on the command line, as flags. Anything else is a bug and keeps its
traceback.
"""

import re
from collections.abc import Callable
from typing import Any

_BEGIN, _EQUALS, _END = "\ue000\ue001\ue002"  # of the private use area: in no sentence
_SETTING = re.compile(f"{_BEGIN}(\\w+)(?:{_EQUALS}([^{_END}]*))?{_END}")


def setting(name: str, value: object = None) -> str:
    """A setting, with a value if one is given, inside the sentence of an error or a note."""
    return f"{_BEGIN}{name}{'' if value is None else f'{_EQUALS}{value}'}{_END}"


def as_argument(name: str, value: str | None) -> str:
    """A setting as it is written in Python."""
    if value is None:
        return name
    plain = value in ("True", "False") or re.fullmatch(r"[-+.\de]+", value)
    return f"`{name}={value if plain else repr(value)}`"


def worded(sentence: str, wording: Callable[[str, str | None], str] = as_argument) -> str:
    """`sentence` with its settings in words."""
    return _SETTING.sub(lambda found: wording(found[1], found[2]), sentence)


class CharLSTMError(Exception):
    """An error that the user can mend: `message` says what and where, `hint` the way out."""

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(worded(message))
        self.raw_message, self.raw_hint = message, hint  # as `setting` wrote them

    @property
    def message(self) -> str:
        """What went wrong and where, its settings worded as Python arguments."""
        return worded(self.raw_message)

    @property
    def hint(self) -> str:
        """The way out, worded likewise; it may be empty."""
        return worded(self.raw_hint)

    def __reduce__(self) -> tuple[Any, ...]:  # exceptions cross processes as they are
        return type(self), (self.raw_message, self.raw_hint)


class ConfigError(CharLSTMError):
    """A setting is out of range or contradicts another."""

    exit_status = 2


class CorpusError(CharLSTMError):
    """A text cannot be read."""


class DownloadError(CorpusError):
    """A named corpus cannot be downloaded, or what came is not what was asked for."""


class VocabularyError(CharLSTMError):
    """A character is not among those that the model knows."""


class RunError(CharLSTMError):
    """A run or a weights file is missing, damaged or of another format."""


class TrainingError(CharLSTMError):
    """Training cannot go on: the loss is not finite."""


class StorageError(CharLSTMError):
    """Something could not be written."""


class HostError(CharLSTMError):
    """Of the processes that train a run together one is lost, or does not fit."""


class MemoryLimitError(CharLSTMError):
    """Something needs more memory than there is."""
