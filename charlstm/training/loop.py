"""Training a run: `train`, a generator of events."""

from collections.abc import Callable, Generator

from charlstm.events import Compiling, Counting, Event, Resumed, Saved
from charlstm.model.members import Params
from charlstm.runs.folder import Run
from charlstm.runtime.hosts import ALONE, Hosts
from charlstm.text.corpus import Corpus
from charlstm.training.decisions import Begin, End
from charlstm.training.journal import Journal
from charlstm.training.optimizer import Schedule
from charlstm.training.resuming import resumed
from charlstm.training.session import Session
from charlstm.training.steps import initial_state


def train(
    run: Run,
    corpus: Corpus,
    params: Params | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    should_save: Callable[[], bool] = lambda: False,
    spent: float = 0.0,
    save_every: float = 60.0,
    hosts: Hosts = ALONE,
) -> Generator[Event]:
    """Train `run` on `corpus`, saving as it goes; events tell what happens.

    `params` are the parameters to start from, fresh ones by default. `resume` continues from the last checkpoint, bit
    for bit as if the run had never been stopped. `should_stop` and `should_save` are asked between dispatches. `spent`
    are seconds of a new run's minutes that are gone already. A checkpoint is written before the first step, every
    `save_every` seconds, after validations, and when the generator is closed. Of several processes this is the one that
    decides; the others `follow`.

    Raises:
        RunError: there is nothing to resume, the run has finished, or its checkpoints are damaged.
        TrainingError: the loss is not finite, again and again.
        HostError: another process is lost, and parameters are not averaged every few steps; what was saved is whole.
        StorageError: the first or the last save failed; what was saved before is whole.
    """
    config = run.config.training
    if resume:
        state, journal, notes = resumed(run, hosts.processes)
        yield Resumed(step=journal.step, notes=notes)
    else:
        state = initial_state(run.config.model, config, params)
        journal = Journal(Schedule(config.learning_rate, config.warmup), elapsed=spent)
    hosts.tell(Begin())
    if config.average_every:
        hosts.outlive()
    session = Session(run, corpus, state, journal, hosts)
    del state  # its buffers are donated to the first step
    if not resume:
        session.save(with_weights=False)  # nothing is learned yet
    yield Compiling(step=session.journal.step)
    try:
        yield from session.due(should_save, save_every)  # of a step that was saved before its report was made
        while not (reason := session.reason_to_end(should_stop)):
            session.advance()
            yield session.progress()
            yield from session.due(should_save, save_every)
    except GeneratorExit:  # whoever watches has failed, or has seen enough
        session.catch_up()
        session.try_to_save(False)
        raise
    session.save()
    with_counts = None
    if session.counts.is_due(session.journal.step):
        yield Counting(step=session.journal.step)
        with_counts = session.add_counts()
    members = session.score_members() if reason != "stopped" else []
    session.journal.ended = "" if reason == "stopped" else reason  # not before: a run that is killed now counts later
    session.save(with_weights=False)
    hosts.tell(End())
    yield from session.lost()
    yield Saved(step=session.journal.step, best=session.journal.best is None)
    yield session.finished(reason, with_counts, members)
