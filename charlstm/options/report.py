"""What a report can be asked for."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from charlstm.errors import ConfigError, setting
from charlstm.options.inspect import InspectOptions
from charlstm.options.shared import GROUP_TEXT, OnProgress, Unknown
from charlstm.schema import Bounds, check_options, from_one, option

_SAMPLES, _PASSAGE = "Samples", "Passage"
_TEMPERATURE = Bounds(0, 1e6, "from 0 to 1000000")
TEMPERATURES = [0.6, 1.0, 1.3]


@dataclass(frozen=True)
class ReportOptions:
    """What stands on the page: samples of `length` at each temperature, and the `passage` that the model is watched
    with, at most so many characters of the text that is named or else of the validation part."""

    temperature: list[float] | None = option(
        None, "Sample at this temperature; may be given several times.", _SAMPLES, unset="0.6, 1 and 1.3"
    )
    _: dataclasses.KW_ONLY
    length: int = option(400, "Characters of each sample.", _SAMPLES, from_one(100_000))
    seed: int = option(0, "Seed of the samples.", _SAMPLES, Bounds(0, 2**32 - 1, "from 0 to 4294967295"))
    text: str | None = option(None, "The passage.", _PASSAGE, unset="the beginning of the validation part")
    file: Path | str | None = option(None, "A file whose beginning is the passage.", _PASSAGE)
    passage: int = option(600, "Characters of the passage, at most.", _PASSAGE, Bounds(2, 10_000, "from 2 to 10000"))
    own_text: Path | str | None = option(
        None, "Where the text is now that the model was trained on, if it has moved.", GROUP_TEXT, unset="where it was"
    )
    unknown: Unknown = option("error", "What to do with characters that the model does not know.", GROUP_TEXT)
    encoding: str | None = option(None, "Encoding of the file.", GROUP_TEXT, unset="the run's")
    baseline: bool = option(True, "Score the validation part without a network, too: n-grams, xz and guessing.")
    inside: bool = option(True, "Look inside, too: how long a memory lasts, neurons, gradients.")
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        check_options(self)
        for each in self.temperatures:
            _TEMPERATURE.check("temperature", each)
        if self.encoding and self.file is None:
            raise ConfigError(f"{setting('encoding', self.encoding)} is for {setting('file')}, which is not given")
        self.looked_at()

    @property
    def temperatures(self) -> list[float]:
        """Those that are asked for, or three that show what the temperature does."""
        return self.temperature or TEMPERATURES

    def looked_at(self) -> InspectOptions:
        """Which text the model is watched with."""
        own_text = self.own_text if self.text is None and self.file is None else None
        return InspectOptions(self.text, self.file, own_text=own_text, unknown=self.unknown, encoding=self.encoding)
