"""The front door for what is asked of runs and cells, and not of a loaded model: cards, comparisons, memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from charlstm.arguments import takes
from charlstm.options import CompareOptions, MemoryOptions
from charlstm.runtime.lazy import with_jax

if TYPE_CHECKING:
    from charlstm.evaluation.comparison import Comparison
    from charlstm.inspection.memory import Trial
    from charlstm.runs.card import Card


@takes(MemoryOptions)
def memory(options: MemoryOptions) -> "list[Trial]":
    """How far each cell remembers: small networks of the three cells are trained on texts with a known dependency.

    It takes `minutes` for each of the three, and some half a minute.

    Raises:
        ConfigError: an option is out of range.
    """
    return list(growing_memory(**vars(options)))


@takes(MemoryOptions)
@with_jax
def growing_memory(options: MemoryOptions) -> "Iterator[Trial]":
    """The trials of `memory`, each as soon as it is there.

    Raises:
        ConfigError: an option is out of range.
    """
    from charlstm.inspection.memory import trials
    from charlstm.runtime.setup import each_within, ready_jax

    return each_within(ready_jax, trials(options))


@with_jax
def card(path: Path | str | None = None) -> "Card":
    """What is known of a run without running it, even of one that has no weights yet; or of a weights file.

    Settings, parameter tensors, vocabulary, reports, the best validation and the sizes of the files. By default it is
    that of the newest run in runs/.

    Raises:
        RunError: it is missing, damaged or of another format.
    """
    from charlstm.runs.card import read_card
    from charlstm.runs.finding import newest_run

    return read_card(path if path is not None else newest_run())


@takes(CompareOptions)
@with_jax
def compare(options: CompareOptions) -> "Comparison":
    """Score runs on the same characters of a common text; how they were trained, and in which settings they differ.

    Each but the first has its `difference` to the first one, in nats per character, with a standard error that is
    paired by block. Models of other vocabularies and units are compared by the characters of the text.

    Raises:
        ConfigError: fewer than two runs are named, or no text, and the first run has no validation part.
        CorpusError: a text cannot be found or read.
        RunError: a run has no weights, is missing or damaged, or the first run's own text has changed.
        VocabularyError: a model does not know a character of the text, and it is not to be skipped.
    """
    from charlstm.evaluation.comparison import compare as compare_runs

    return compare_runs(options)
