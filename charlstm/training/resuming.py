"""Going on from a checkpoint: where a run was, and what is not as it was."""

import jax

from charlstm.errors import RunError, setting
from charlstm.runs.checkpoints import Checkpoint, load_checkpoint
from charlstm.runs.folder import Run
from charlstm.training.conditions import conditions, differences
from charlstm.training.journal import Journal, read_facts
from charlstm.training.steps import TrainState, initial_state


def last_checkpoint(run: Run) -> Checkpoint:
    """The last sound checkpoint of a run, its tree a `TrainState`.

    Raises:
        RunError: there is none, they are damaged, or of another configuration.
    """
    return load_checkpoint(run, jax.eval_shape(lambda: initial_state(run.config.model, run.config.training)))


def resumed(run: Run, processes: int) -> tuple[TrainState, Journal, tuple[str, ...]]:
    """The arrays and the journal of the last checkpoint, and what a user should know about it.

    Raises:
        RunError: there is none, they are damaged, of another configuration, or the run has finished.
    """
    config = run.config.training
    checkpoint = last_checkpoint(run)
    journal, before = read_facts(checkpoint.facts, str(run.path))
    planned = checkpoint.config.training
    lengths = planned.schedule[: len(journal.lengths)]
    longest = max(planned.steps, *(total for _, total in planned.schedule), 0)
    if (
        (checkpoint.state.step != journal.step).any()
        or journal.schedule.total > longest
        or (planned.schedule and not journal.prolonged and lengths != journal.lengths)
    ):
        raise RunError(f"the checkpoint of {run.path} is not of one moment of this run", "the file is damaged")
    if (config.steps, config.minutes) != (planned.steps, planned.minutes):
        journal.prolong(config.learning_rate)
    elif journal.ended:
        raise RunError(
            f"{run.path} has finished",
            f"{setting('minutes', 10)} prolongs it; {setting('init_from', run.path)} starts a new run from its weights",
        )
    run.metrics.cut(journal.step)
    damage = checkpoint.damage and f"{checkpoint.damage}; the checkpoint before it, of step {journal.step:,}, is sound"
    now = conditions(config, run.config.model.members, processes)
    apart = _of_local_steps(before, now) if config.average_every else ""
    return checkpoint.state, journal, tuple(filter(None, (damage, apart or differences(before, now))))


def _of_local_steps(before: dict[str, str], now: dict[str, str]) -> str:
    """What is not as it was where several processes go on with local steps, or have made them."""
    then, here = before.get("processes", "1"), now["processes"]
    if then == here == "1":
        return ""
    return (
        f"saved by {then} processes, now {here}, with local steps: text, parameters and the momentum of averaging are "
        "the same, but the optimizer's state of process 0 is that of all, so that the result is not exactly the same"
    )
