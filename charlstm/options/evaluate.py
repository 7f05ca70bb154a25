"""What `evaluate` can be asked for."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from charlstm.errors import ConfigError, setting
from charlstm.options.shared import GROUP_TEXT, OnProgress, Texts, Unknown
from charlstm.schema import check_options, from_one, option

_BESIDE = "Beside the score"


@dataclass(frozen=True)
class EvaluateOptions:
    """What is scored, and how; without texts the validation part of the model's own."""

    texts: Texts | None = None
    _: dataclasses.KW_ONLY
    own_text: Path | str | None = option(
        None, "Where the text is now that the model was trained on, if it has moved.", GROUP_TEXT, unset="where it was"
    )
    exact: bool = option(False, "Read in a single stream: slower, and without any approximation.")
    unknown: Unknown = option("error", "What to do with characters that the model does not know.", GROUP_TEXT)
    encoding: str | None = option(None, "Encoding of the text files.", GROUP_TEXT, unset="the run's")
    dynamic: bool = option(False, "Dynamic evaluation: weights that go on learning from what was scored.", _BESIDE)
    baseline: bool = option(False, "Score without a network: n-grams, xz and guessing.", _BESIDE)
    windows: int | None = option(
        None, "Score windows of this many characters, each from a zero state.", _BESIDE, from_one(65_536), "not done"
    )
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.encoding and not self.texts:
            raise ConfigError(
                f"{setting('encoding', self.encoding)} is for texts, but none is named",
                "the run's own text is read as it was",
            )
