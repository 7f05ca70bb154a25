"""What `evaluate` can be asked for."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from charlstm.errors import ConfigError, setting
from charlstm.options.shared import GROUP_TEXT, NETWORK_ALONE, OnProgress, Texts, Unknown
from charlstm.schema import check_options, from_one, option

_BESIDE = "Beside the score"


@dataclass(frozen=True)
class ReadOptions:
    """Which texts are read; without any the validation part of the model's own."""

    texts: Texts | None = None
    _: dataclasses.KW_ONLY
    own_text: Path | str | None = option(
        None, "Where the text is now that the model was trained on, if it has moved.", GROUP_TEXT, unset="where it was"
    )
    unknown: Unknown = option("error", "What to do with characters that the model does not know.", GROUP_TEXT)
    encoding: str | None = option(None, "Encoding of the text files.", GROUP_TEXT, unset="the run's")
    network_alone: bool = option(False, NETWORK_ALONE, GROUP_TEXT)
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.encoding and not self.texts:
            raise ConfigError(
                f"{setting('encoding', self.encoding)} is for texts, but none is named",
                "the run's own text is read as it was",
            )


@dataclass(frozen=True)
class EvaluateOptions(ReadOptions):
    """What is scored, and how."""

    _: dataclasses.KW_ONLY
    exact: bool = option(False, "Read in a single stream: slower, and without any approximation.")
    dynamic: bool = option(False, "Dynamic evaluation: weights that go on learning from what was scored.", _BESIDE)
    baseline: bool = option(
        False, "Score without a network (n-grams, xz and guessing), and with n-grams beside it.", _BESIDE
    )
    windows: int | None = option(
        None, "Score windows of this many characters, each from a zero state.", _BESIDE, from_one(65_536), "not done"
    )
    novelty: bool = option(
        False,
        "How much of the text is new: the longest span of it that stands in the training part, and 20-grams that do "
        "not.",
        _BESIDE,
    )

    def require_plain(self, what: str) -> None:
        """Refuse what goes with a score only.

        Raises:
            ConfigError: it is asked for, but `what` is to be shown.
        """
        for name in ("dynamic", "baseline", "windows", "novelty"):
            if value := getattr(self, name):
                raise ConfigError(f"{what} and {setting(name, value)} contradict each other", "give one of them")
