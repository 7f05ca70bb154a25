"""What `compare` can be asked for."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from charlstm.errors import ConfigError, setting
from charlstm.options.shared import GROUP_TEXT, OnProgress, Unknown
from charlstm.schema import check_options, option


@dataclass(frozen=True)
class CompareOptions:
    """Which runs, or weights files, are held against the first of them, and on which text."""

    runs: Sequence[Path | str]
    _: dataclasses.KW_ONLY
    file: Path | str | None = option(
        None,
        "The text that all are scored on: a file, a folder or a named corpus.",
        GROUP_TEXT,
        unset="the validation part of the first run",
    )
    own_text: Path | str | None = option(
        None, "Where the text is now that the first run was trained on, if it has moved.", GROUP_TEXT,
        unset="where it was",
    )  # fmt: skip
    unknown: Unknown = option(
        "error", "What to do with characters that not all of the models know; skip: score none on them.", GROUP_TEXT
    )
    encoding: str | None = option(None, "Encoding of the file.", GROUP_TEXT, unset="the first run's")
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        check_options(self)
        if isinstance(self.runs, str | Path) or len(self.runs) < 2:
            raise ConfigError("a comparison is of two runs or more", "name them one after the other")
        if self.encoding and not self.file:
            raise ConfigError(f"{setting('encoding', self.encoding)} is for {setting('file')}, which is not given")
