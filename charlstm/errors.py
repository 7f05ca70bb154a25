"""What can go wrong through no fault of this program.

    CharLSTMError            one sentence, and a hint at the way out; exit status 1
    ├── ConfigError          a setting is out of range or contradicts another; exit status 2
    ├── CorpusError          a text cannot be read: missing, empty, wrongly encoded
    │   └── DownloadError    a named corpus cannot be fetched or is not what it should be
    ├── VocabularyError      a character is not among those that the model knows
    ├── RunError             a run or weights file is missing, damaged or of another format
    ├── TrainingError        the numbers went wrong: the loss is not finite
    └── StorageError         the disk is full, or writing is not permitted

Each is raised where the fact is known and caught once, in `cli`. Anything else is a bug and keeps its traceback.
"""


class CharLSTMError(Exception):
    """An error that the user can mend: `message` says what and where, `hint` the way out."""

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(CharLSTMError):
    """A setting is out of range or contradicts another."""

    exit_status = 2


class CorpusError(CharLSTMError):
    """A text cannot be read."""


class DownloadError(CorpusError):
    """A named corpus cannot be fetched, or what came is not what was asked for."""


class VocabularyError(CharLSTMError):
    """A character is not among those that the model knows."""


class RunError(CharLSTMError):
    """A run or a weights file is missing, damaged or of another format."""


class TrainingError(CharLSTMError):
    """Training cannot go on: the loss is not finite."""


class StorageError(CharLSTMError):
    """Something could not be written."""
