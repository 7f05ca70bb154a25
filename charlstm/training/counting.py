"""The last act of a run: the n-grams of its text are counted, to stand beside the network."""

from dataclasses import dataclass

import numpy as np

from charlstm.config import TrainingConfig
from charlstm.evaluation.static import score_text
from charlstm.score import Score
from charlstm.training.ngrams import MAX_COUNTED
from charlstm.training.saver import Saver

# To count, to find out how far to trust that, and to score both: so many seconds, and more for each character (Xeon).
_SECONDS, _SECONDS_EACH = 1.0, 4e-6
_MOST = 0.1  # of the time that a run is given


@dataclass(frozen=True, eq=False)
class TextCounts:
    """The counting of a training part, of ids `[N]`, beside a network that has learned it."""

    config: TrainingConfig
    training_ids: np.ndarray
    validation_ids: np.ndarray

    @property
    def seconds(self) -> float:
        """How long it will take, about."""
        if self.config.network_alone:
            return 0.0
        seconds = _SECONDS + _SECONDS_EACH * min(len(self.training_ids), MAX_COUNTED)
        return min(seconds, _MOST * 60 * (self.config.minutes or 0))

    def is_due(self, steps: int) -> bool:
        """Whether there are to be counts, now that the network has learned something in so many steps."""
        return not self.config.network_alone and steps > 0

    def add(self, saver: Saver, best: Score | None) -> Score | None:
        """Put them beside the saved network, and score both as the `best` validation did the network, if there is one.

        Raises:
            StorageError: they cannot be written.
        """
        weights = saver.add_counts(self.training_ids)
        return score_text(weights, self.validation_ids[: best.characters + 1]) if best else None
