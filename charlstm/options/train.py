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
_STREAMS = from_one(1_048_576)
_RUN, _MODEL, _BUDGET = "Run", "Model", "Budget (one of them)"
_OPTIMIZATION, _HOSTS, _WATCHING = "Optimization", "Many hosts", "Watching"


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
        None, "Batch size: streams that are read in parallel.", _OPTIMIZATION, _STREAMS, _SIZED
    )
    batch_per_device: int | None = option(
        None, "The same for each device, a core of a CPU or an accelerator.", _OPTIMIZATION, _STREAMS
    )
    sequence_length: int | None = option(
        None, "Length of a window in characters: truncated backpropagation through time.", _OPTIMIZATION,
        from_one(1_048_576), _SIZED,
    )  # fmt: skip
    accumulate: int | None = option(
        None, "Make each step in so many parts of the batch, whose gradients are averaged: it needs less memory.",
        _OPTIMIZATION, _STREAMS, "1, more where memory is short",
    )  # fmt: skip
    chunk_length: int | None = option(
        None, "Read a window in chunks of so many characters, and once more for the gradient: a long one needs less "
        "memory.", _OPTIMIZATION, from_one(1_048_576), "the window, less where memory is short",
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
    coordinator: str | None = option(
        None, "Address, HOST:PORT, of process 0 of several that train the run together; each is started like this.",
        _HOSTS,
    )  # fmt: skip
    processes: int | None = option(None, "Number of these processes.", _HOSTS, from_one(65_536))
    process: int | None = option(None, "Which of them this one is.", _HOSTS, Bounds(0, 65_535, "0 for the first"))
    distributed: bool = option(
        False, "Let JAX find the other processes: of Slurm, Open MPI, Kubernetes or a TPU.", _HOSTS
    )
    average_every: int | None = option(
        None,
        "Let each process make so many local steps of its own, and then average their parameters: for slow networks. "
        "A process that is lost is left out.",
        _HOSTS,
        COUNT,
        "gradients are averaged in each step",
    )
    host_timeout: float = option(
        60.0,
        "Seconds without a sign of life after which another process is lost, and the run ends, unless it averages "
        "every few steps; ten times as long those that are late at the start are waited for.",
        _HOSTS,
        Bounds(1, 1e6, "from 1 to 1000000"),
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
        if None not in (self.batch_size, self.batch_per_device):
            raise ConfigError(
                f"{setting('batch_size')} and {setting('batch_per_device')} contradict each other", "give one of them"
            )
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
        self._check_hosts()
        if self.resume:
            for field in dataclasses.fields(self):
                given = getattr(self, field.name) != field.default
                if given and field.name not in RESUMED_WITH:
                    raise cannot_resume_with(field.name)

    def _check_hosts(self) -> None:
        """Refuse what does not say where the other processes are.

        Raises:
            ConfigError: it does not.
        """
        given = [setting(name) for name in ("coordinator", "processes", "process") if getattr(self, name) is not None]
        if self.distributed and given:
            raise ConfigError(
                f"{setting('distributed')} and {' and '.join(given)} contradict each other",
                f"with {setting('distributed')} JAX finds the other processes by itself",
            )
        if 0 < len(given) < 3:
            raise ConfigError(
                f"{' and '.join(given)} alone do{'es' * (len(given) == 1)} not say where the other processes are",
                f"give {setting('coordinator')}, {setting('processes')} and {setting('process')}",
            )
        if self.coordinator is not None:
            host, _, port = self.coordinator.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 2**16 or (":" in host and host[0] != "["):
                raise ConfigError(
                    f"{setting('coordinator', self.coordinator)} is no HOST:PORT",
                    "name the machine of process 0 and a port that is free there, such as 10.0.0.1:12345",
                )
            assert self.process is not None and self.processes is not None
            if self.process >= self.processes:
                raise ConfigError(
                    f"{setting('process')} is {self.process}, but {self.processes} processes are numbered from 0 to "
                    f"{self.processes - 1}"
                )
        if self.average_every is not None and not (given or self.distributed):
            raise ConfigError(
                f"{setting('average_every', self.average_every)} is for several processes, and this is one",
                f"give {setting('coordinator')}, {setting('processes')} and {setting('process')}",
            )
        names = [self.texts] if isinstance(self.texts, str | Path) else self.texts
        if (given or self.distributed) and self.members > 1:
            raise ConfigError(
                f"{setting('members', self.members)} are trained on one host",
                "train them there, or several processes one network",
            )
        if (given or self.distributed) and "-" in map(str, names):
            raise ConfigError(
                "standard input is that of one process", "give all processes a file, for each reads the text itself"
            )


# What a resumed run may be given; its settings it has.
RESUMED_WITH = (
    *("texts", "run", "resume", "minutes", "epochs", "steps", "patience", "accumulate", "chunk_length"),
    *("coordinator", "processes", "process", "distributed", "host_timeout"),
    *("on_event", "should_stop", "should_save"),
)


def cannot_resume_with(name: str) -> ConfigError:
    """A resumed run has its settings; silently ignoring others would mislead."""
    return ConfigError(
        f"{setting(name)} cannot be given together with {setting('resume')}",
        "the run continues with the settings that it has",
    )
