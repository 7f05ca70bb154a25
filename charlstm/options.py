"""What a user can ask for: every option once, with its default, its bounds and its help.

The command line makes its flags of these fields (cli/options.py), the Python API its keyword arguments (arguments.py).
A field that is None in `TrainOptions` is left open: `training.plan` closes it, for it depends on the text, the time and
the machine.
"""

import dataclasses
import difflib
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from charlstm.errors import ConfigError, setting
from charlstm.schema import (
    ABOVE_ZERO,
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

# How texts are cut into documents, and what then stands between these; any other name is taken for a separator.
DOCUMENTS = {"whole": "", "files": "", "lines": "\n", "blank-lines": "\n\n"}

Unit = Literal["character", "byte"]
Unknown = Literal["error", "skip"]
Precision = Literal["float32", "bfloat16"]
PrecisionOption = Literal["float32", "bfloat16", "auto"]
Optimizer = Literal["muon", "adamw"]
Texts = str | Path | Sequence[str | Path]
OnProgress = Callable[[str, int, int], None]  # told what is done, how much of it, and of how much: 0 if unknown

BUNDLED = "salt-road"  # the text that comes with the program
DEFAULT_MINUTES = 3.0

_SIZED = "fitted to text, time and machine"
_TEXT, _RUN, _MODEL, _BUDGET = "Text", "Run", "Model", "Budget (one of them)"
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
    unit: Unit = option("character", "Model characters, or the bytes of any file.", _TEXT)
    encoding: str = option("utf-8", "Encoding of the text files.", _TEXT)
    documents: str | None = option(
        None,
        "Cut the text into documents, which are learned with a boundary between them and shuffled by the seed before "
        "the validation part is taken: whole (not cut), files, lines, blank-lines (what stands between blank lines), "
        r"or any other separator, with \n and \t.",
        _TEXT,
        unset="files where there are several, otherwise whole",
    )
    validation: float = option(
        0.1, "Fraction of the text, from its end, that is held out for validation.", _TEXT, BELOW_ONE
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


def parse_schedule(text: str | None) -> list[list[int]]:
    """`"0:3206,33:3100"` as `[[0, 3206], [33, 3100]]`: at a step, the number of steps in all.

    Raises:
        ConfigError: it is not of that form, does not begin at 0, does not rise, or has an end that is past.
    """
    if text is None:
        return []
    pairs = [re.fullmatch(r"(\d{1,10}):(\d{1,10})", part.strip()) for part in text.split(",")]
    lengths = [[int(pair[1]), int(pair[2])] for pair in pairs if pair]
    if None in pairs or not is_schedule(lengths):
        raise ConfigError(
            f"{setting('schedule', text)} is not of the form 0:TOTAL,STEP:TOTAL,...", "copy it from the run"
        )
    return lengths


def is_schedule(lengths: list[list[int]]) -> bool:
    """Whether these are steps from 0 on, rising, each with a number of steps in all that is not past and is new."""
    if not all(len(pair) == 2 and pair[0] <= pair[1] < 2**31 for pair in lengths):
        return False
    rises = all(a[0] < b[0] and a[1] != b[1] for a, b in itertools.pairwise(lengths))
    return rises and not (lengths and (lengths[0][0] or not lengths[0][1]))


def format_schedule(lengths: list[list[int]]) -> str:
    """The inverse of `parse_schedule`."""
    return ",".join(f"{step}:{total}" for step, total in lengths)


_PROMPT, _ENDS, _SAMPLING, _SAMPLES = "Prompt", "Ends", "Sampling", "Several samples"


@dataclass(frozen=True)
class SampleOptions:
    """How a text is sampled; without a seed, one is drawn.

    First comes what may be sampled at all (`only`, `ban`), then `repetition`, then the filters in the order
    temperature, top-k, top-p, min-p, typical. `state` is what `LanguageModel.read` returned: the prompt goes on there.
    """

    prompt: str = ""
    _: dataclasses.KW_ONLY
    unknown: Unknown = option("error", "What to do with characters that the model does not know.", _PROMPT)
    length: int = option(
        1000, "Characters to sample, not counting the prompt; 0: endless.", _ENDS, Bounds(0, 2**62, "0 or above")
    )
    until: str | list[str] | None = option(
        None, "End with the first occurrence of this text; may be given several times.", _ENDS, unset="not done"
    )
    lines: int = option(0, "End with this many line ends; 0: not done.", _ENDS, UP_TO_ALL)
    temperature: float = option(
        0.8, "Below 1 safer, above 1 wilder; 0 always takes the most likely character.", _SAMPLING,
        Bounds(0, 1e6, "from 0 to 1000000"),
    )  # fmt: skip
    top_k: int = option(0, "Sample among the k most likely characters only; 0: among all.", _SAMPLING, UP_TO_ALL)
    top_p: float = option(
        1.0, "Sample among the most likely characters that together have this probability.", _SAMPLING,
        Bounds(ABOVE_ZERO, 1, "above 0, up to 1"),
    )  # fmt: skip
    min_p: float = option(
        0.0, "Sample only what is at least this fraction as likely as the most likely character.", _SAMPLING,
        Bounds(0, 1, "from 0 to 1"),
    )  # fmt: skip
    typical: float = option(
        1.0, "Sample among the characters nearest to the expected surprise that together have this probability.",
        _SAMPLING, Bounds(ABOVE_ZERO, 1, "above 0, up to 1"),
    )  # fmt: skip
    repetition: float = option(
        0.0,
        "Make a character that would prolong a copy less likely, by so many nats for each character beyond 12 that "
        "this copies of the last 512; 1 ends loops.",
        _SAMPLING, Bounds(0, 1e6, "from 0 to 1000000"),
    )  # fmt: skip
    only: str | None = option(
        None,
        "Sample these only, separated by commas: letters, upper, lower, digits, punctuation, spaces, newlines, ascii, "
        "or the characters themselves, if need be in quotes.",
        _SAMPLING, unset="everything",
    )  # fmt: skip
    ban: str | None = option(None, "Never sample these; written like --only.", _SAMPLING, unset="nothing")
    seed: int | None = option(
        None, "Seed of the random numbers.", _SAMPLING, Bounds(0, 2**32 - 1, "from 0 to 4294967295"), "drawn and shown"
    )
    documents: int | None = option(
        None, "End after so many documents, however long they are, instead of --length.", _ENDS, COUNT
    )
    novel: bool = option(False, "With --documents: leave out those that stand in the model's own text.", _ENDS)
    own_text: Path | str | None = option(
        None, "With --novel: where the model's own text is now, if it has moved.", _ENDS, unset="where it was"
    )
    state: Any = None

    def __post_init__(self) -> None:
        check_options(self)
        if "" in self.ends:
            raise ConfigError(f"{setting('until')} is empty, and would end every text at once", "name what ends it")
        for name in ("only", "ban"):
            if getattr(self, name) == "":
                raise ConfigError(f"{setting(name)} is empty", "name classes or characters, or leave it out")
        if self.novel and not self.documents:
            raise ConfigError(f"{setting('novel', True)} is for {setting('documents')}, which is not given")
        if self.own_text and not self.novel:
            raise ConfigError(f"{setting('own_text')} is for {setting('novel')}, which is not given")

    @property
    def ends(self) -> list[str]:
        """The texts of `until`."""
        return [self.until] if isinstance(self.until, str) else self.until or []

    @property
    def is_endless(self) -> bool:
        """Whether nothing but an interrupt ends the text."""
        return not (self.length or self.ends or self.lines or self.documents)


@dataclass(frozen=True)
class SamplesOptions(SampleOptions):
    """How many texts are sampled at once: `count` of each of the `prompts` or, if there are none, of the one `prompt`.

    The first text of all has the seed `seed`, the next one `seed` + 1, and so on.
    """

    count: int = option(
        1,
        "Samples of each prompt; the first has the seed --seed, the next one a seed larger by 1, and so on.",
        _SAMPLES,
        from_one(65_536),
    )
    prompts: Sequence[str] = dataclasses.field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.is_endless and max(1, len(self.prompts)) * self.count > 1:
            raise ConfigError(f"{setting('length', 0)} is endless, and can be of one sample only", "give it an end")


_BESIDE = "Beside the score"


@dataclass(frozen=True)
class EvaluateOptions:
    """What is scored, and how; without texts the validation part of the model's own."""

    texts: Texts | None = None
    _: dataclasses.KW_ONLY
    own_text: Path | str | None = option(
        None, "Where the text is now that the model was trained on, if it has moved.", _TEXT, unset="where it was"
    )
    exact: bool = option(False, "Read in a single stream: slower, and without any approximation.")
    unknown: Unknown = option("error", "What to do with characters that the model does not know.", _TEXT)
    encoding: str | None = option(None, "Encoding of the text files.", _TEXT, unset="the run's")
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
