"""What `train` can be asked for.

A field that is None is left open: `training.plan` closes it, for it depends on the text, the time and the machine.
"""

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlstm.errors import ConfigError, setting
from charlstm.options.schedule import parse_schedule
from charlstm.options.shared import (
    BUNDLED,
    DEFAULT_MINUTES,
    DOCUMENTS,
    GROUP_TEXT,
    Cell,
    Optimizer,
    PrecisionOption,
    Texts,
    Unit,
)
from charlstm.schema import (
    BELOW_ONE,
    COUNT,
    FLOAT32,
    NOT_NEGATIVE,
    POSITIVE,
    UP_TO_ALL,
    Bounds,
    check_options,
    from_one,
    option,
)

_SIZED = "fitted to text, time and machine"
_RUN, _MODEL, _BUDGET = "Run", "Model", "Budget (one of them)"
_OPTIMIZATION, _WATCHING = "Optimization", "Watching"


@dataclass(frozen=True)
class TrainOptions:
    """Everything that one call of `train` is asked for.

    `on_event` is called with every event of the training (events.py); `should_stop` and `should_save` are asked between
    dispatches of steps, a few times a second: once they say yes, the run is saved and ends, or goes on.
    """

    texts: Texts = BUNDLED
    _: dataclasses.KW_ONLY
    run: Path | str | None = option(None, "Folder of the run.", _RUN, unset="runs/ and the name of the text")
    resume: bool = option(
        False,
        "Continue a stopped run exactly as if it had never stopped; with a budget, any run for so much longer.",
        _RUN,
    )
    overwrite: bool = option(False, "Replace the run that is there.", _RUN)
    init_from: Path | str | None = option(
        None, "Start from the weights of another run; its vocabulary grows by new characters.", _RUN
    )
    unit: Unit = option("character", "Model characters, or the bytes of any file.", GROUP_TEXT)
    encoding: str = option("utf-8", "Encoding of the text files.", GROUP_TEXT)
    documents: str | None = option(
        None,
        "Cut the text into documents, which are learned with a boundary between them and shuffled by the seed before "
        "the validation part is taken: whole (not cut), files, lines, blank-lines (what stands between blank lines), "
        r"or any other separator, with \n and \t.",
        GROUP_TEXT,
        unset="files where there are several, otherwise whole",
    )
    validation: float = option(
        0.1, "Fraction of the text, from its end, that is held out for validation.", GROUP_TEXT, BELOW_ONE
    )
    cell: Cell | None = option(
        None,
        "Recurrent cell: lstm, gru (gated recurrent unit) or rnn (no gates).",
        _MODEL,
        unset="lstm",
    )
    layers: int | None = option(None, "Number of recurrent layers.", _MODEL, from_one(64), "1")
    hidden_size: int | None = option(None, "Hidden units of each layer.", _MODEL, from_one(65_536), _SIZED)
    embedding_size: int | None = option(None, "Size of the character embedding.", _MODEL, from_one(65_536), _SIZED)
    dropout: float | None = option(
        None, "Dropout rate of each layer's output; one mask for a whole window.", _MODEL, BELOW_ONE, _SIZED
    )
    weight_drop: float | None = option(
        None, "Dropout rate of the recurrent weights; one mask for a whole window.", _MODEL, BELOW_ONE, _SIZED
    )
    members: int = option(
        1,
        "Train so many networks side by side, from this seed and the next ones, which predict together: better than "
        "one, and as many times slower.",
        _MODEL,
        from_one(8),
    )
    network_alone: bool = option(
        False, "Count no n-grams of the text, to stand beside the network once it is trained.", _MODEL
    )
    minutes: float | None = option(
        None, "Training time, everything included.", _BUDGET, POSITIVE, f"{DEFAULT_MINUTES:g}"
    )
    epochs: float | None = option(None, "Passes over the text.", _BUDGET, POSITIVE)
    steps: int | None = option(None, "Updates of the weights.", _BUDGET, COUNT)
    schedule: str | None = option(
        None,
        "Repeat a run exactly by its lengths as they were estimated, STEP:TOTAL,...; timed runs end with it.",
        _BUDGET,
    )
    patience: int | None = option(
        None, "Stop early after this many validations in a row without improvement.", _BUDGET, COUNT
    )
    batch_size: int | None = option(
        None, "Batch size: streams that are read in parallel.", _OPTIMIZATION, from_one(1_048_576), _SIZED
    )
    sequence_length: int | None = option(
        None, "Length of a window in characters: truncated backpropagation through time.", _OPTIMIZATION,
        from_one(1_048_576), _SIZED,
    )  # fmt: skip
    optimizer: Optimizer = option(
        "muon", "Muon learns more from each step; a step of AdamW takes less time.", _OPTIMIZATION
    )
    learning_rate: float | None = option(None, "Peak learning rate.", _OPTIMIZATION, FLOAT32, "suits the optimizer")
    weight_decay: float = option(0.1, "Decoupled weight decay of the matrices.", _OPTIMIZATION, NOT_NEGATIVE)
    clip: float = option(1.0, "Maximal global norm of the gradient.", _OPTIMIZATION, FLOAT32)
    precision: PrecisionOption = option(
        "auto", "Precision of matrix products; auto measures this machine.", _OPTIMIZATION
    )
    seed: int = option(0, "Seed of all random numbers.", _OPTIMIZATION, Bounds(0, 2**32 - 1, "from 0 to 4294967295"))
    sample_every: int = option(
        20, "Show a sample after this many of the hundred reports; 0: never.", _WATCHING, UP_TO_ALL
    )
    on_event: Callable[[Any], None] | None = None
    should_stop: Callable[[], bool] | None = None
    should_save: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        check_options(self)
        names = ("epochs", "steps", "minutes", "schedule")
        budgets = [setting(name) for name in names if getattr(self, name) is not None]
        if len(budgets) > 1:
            raise ConfigError(f"{' and '.join(budgets)} contradict each other", "give one of them")
        if not self.texts:
            raise ConfigError("no text is named", "name a file, a folder or a named corpus")
        if self.documents is not None and self.documents not in DOCUMENTS:
            near = difflib.get_close_matches(self.documents.lower(), DOCUMENTS, 1, 0.8)
            if near or not self.documents:
                raise ConfigError(
                    f"{setting('documents', self.documents)} is {f'not {near[0]!r}' if near else 'empty'}",
                    f"give {', '.join(DOCUMENTS)} or any other text that stands between documents",
                )
        parse_schedule(self.schedule)
        if self.resume:
            for field in dataclasses.fields(self):
                given = getattr(self, field.name) != field.default
                if given and field.name not in RESUMED_WITH:
                    raise cannot_resume_with(field.name)


# What a resumed run may be given; its settings it has.
RESUMED_WITH = (
    *("texts", "run", "resume", "minutes", "epochs", "steps", "patience"),
    *("on_event", "should_stop", "should_save"),
)


def cannot_resume_with(name: str) -> ConfigError:
    """A resumed run has its settings; silently ignoring others would mislead."""
    return ConfigError(
        f"{setting(name)} cannot be given together with {setting('resume')}",
        "the run continues with the settings that it has",
    )
