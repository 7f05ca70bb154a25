"""Saving a run while it trains, in an order in which nothing is lost whenever the process dies."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from charlstm.errors import StorageError
from charlstm.events import Report
from charlstm.model.members import split
from charlstm.runs.checkpoints import save_checkpoint
from charlstm.runs.folder import Run
from charlstm.runs.weights import Weights, load_weights, save_weights
from charlstm.training.conditions import conditions
from charlstm.training.journal import Journal, facts_of
from charlstm.training.ngrams import counts_beside
from charlstm.training.steps import TrainState


class Saver:
    """Saves `run`. Reports and weights that cannot be written are kept in memory until they can."""

    def __init__(self, run: Run, processes: int = 1) -> None:
        self.run = run
        self._reports: list[dict[str, Any]] = []
        self._weights: nnx.State | None = None
        self._conditions = conditions(run.config.training, run.config.model.members, processes)

    def report(self, report: Report) -> None:
        """Add a report to the metrics.

        Raises:
            StorageError: it could not be written yet.
        """
        self._reports.append(dataclasses.asdict(report))
        self._write_reports()

    def weights(self, params: nnx.State) -> Weights:
        """Parameters as weights of the run."""
        return Weights(self.run.config, self.run.vocabulary, split(self.run.config.model, params))

    def save_weights(self, params: nnx.State) -> None:
        """Make these parameters the ones that the run is sampled with.

        Raises:
            StorageError: they could not be written yet.
        """
        try:
            save_weights(self.run.weights_path, self.weights(params))
            self._weights = None
        except StorageError:
            self._weights = jax.tree.map(jnp.copy, params)  # the next step takes the originals' memory
            raise

    def add_counts(self, training_ids: np.ndarray) -> Weights:
        """Count the n-grams of the training part, and put them beside the weights that the run is sampled with.

        Raises:
            MemoryLimitError: there is not memory enough to count; the weights are whole, as below.
            StorageError: they cannot be written.
        """
        weights = load_weights(self.run.weights_path)
        weights = dataclasses.replace(weights, counts=counts_beside(weights, training_ids))
        save_weights(self.run.weights_path, weights)
        return weights

    def save(self, state: TrainState, journal: Journal, with_weights: bool = True) -> None:
        """Save all that resuming needs and, for want of a validation, the weights, if they are wanted.

        Reports and weights are written first, for those before a checkpoint are not made again. A new run takes its
        place as soon as it can be resumed or, if it replaces another one, as soon as it has weights.

        Raises:
            StorageError: it cannot be written; what was saved before is whole.
        """
        self._write_reports()
        if self._weights is not None:
            self.save_weights(self._weights)
        if journal.best is None and with_weights:
            self.save_weights(state.params)
        save_checkpoint(self.run, state, facts_of(journal, self._conditions))
        if journal.step or not self.run.replaces_another:
            self.run = self.run.promote()

    def _write_reports(self) -> None:
        self.run.metrics.append(self._reports)
        self._reports.clear()
