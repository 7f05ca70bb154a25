"""What `inspect` can be asked for."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from charlstm.errors import ConfigError, setting
from charlstm.options.shared import GROUP_TEXT, OnProgress, Unknown
from charlstm.schema import UP_TO_ALL, Bounds, check_options, from_one, option

_GATES, _NEURONS, _ATTRIBUTION = "The heat map of gates", "Neurons", "Attribution"
_GRADIENT_FLOW, _MEMORY = "Gradient flow", "Memory"


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
    layer: int | None = option(None, "Look at this layer only.", GROUP_TEXT, from_one(64), unset="all")
    shown: int = option(
        120, "Characters that the heat map, the picture and the arrays of gates are of.", _GATES, from_one(20_000)
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
    lags: int | None = option(
        None, "Follow gradients back over this many characters.", _GRADIENT_FLOW, from_one(4096), "128"
    )
    beside: Path | str | list[str] | None = option(
        None, "Another run to show beside this one; may be given several times.", _GRADIENT_FLOW, unset="none"
    )
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

    @property
    def runs_beside(self) -> list[str]:
        """The runs of `beside`."""
        return list(self.beside or []) if isinstance(self.beside, list | None) else [str(self.beside)]


@dataclass(frozen=True)
class MemoryOptions:
    """How the cells are trained whose memory is measured."""

    _: dataclasses.KW_ONLY
    minutes: float = option(
        1.0, "How many minutes each of the three cells is trained.", _MEMORY, Bounds(0.001, 1e4, "from 0.001 to 10,000")
    )
    seed: int = option(0, "Seed of the texts and of the networks.", _MEMORY, UP_TO_ALL)
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        check_options(self)
