"""What `inspect` can be asked for."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from charlstm.errors import ConfigError, setting
from charlstm.options.shared import GROUP_TEXT, OnProgress, Unknown
from charlstm.schema import check_options, from_one, option

_NEURONS, _ATTRIBUTION = "Neurons", "Attribution"


@dataclass(frozen=True)
class InspectOptions:
    """Which text a model is watched with; without any the validation part of its own."""

    text: str | None = option(None, "Look at this text.", GROUP_TEXT)
    file: Path | str | None = option(
        None, "Look at a file; of a large one at pieces that are evenly spread over it.", GROUP_TEXT
    )
    _: dataclasses.KW_ONLY
    own_text: Path | str | None = option(
        None, "Where the text is now that the model was trained on, if it has moved.", GROUP_TEXT, unset="where it was"
    )
    unknown: Unknown = option("error", "What to do with characters that the model does not know.", GROUP_TEXT)
    encoding: str | None = option(None, "Encoding of the file.", GROUP_TEXT, unset="the run's")
    layer: int | None = option(None, "Look at this layer only.", bounds=from_one(64), unset="all")
    shown: int = option(
        120, "Characters that the heat map, the picture and the arrays of gates are of.", bounds=from_one(20_000)
    )
    unit: str | None = option(
        None,
        "Look at this unit only, named by its layer, from 1, and its number in it, from 0: 1.37.",
        _NEURONS,
        unset="the best",
    )
    at: int | list[int] | None = option(
        None, "Explain the prediction after so many characters of the text; may be given several times.", _ATTRIBUTION,
        unset="all, at its end",
    )  # fmt: skip
    last: int = option(200, "Characters before it that are looked at.", _ATTRIBUTION, from_one(2_000))
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.text is not None and self.file is not None:
            raise ConfigError(f"{setting('text')} and {setting('file')} contradict each other", "give one of them")
        if self.encoding and self.file is None:
            raise ConfigError(
                f"{setting('encoding', self.encoding)} is for a file, but none is named",
                f"name one: {setting('file')}",
            )
        if self.own_text is not None and (self.text is not None or self.file is not None):
            other = "text" if self.text is not None else "file"
            raise ConfigError(f"{setting('own_text')} and {setting(other)} contradict each other", "give one of them")
