"""The front door for training: from options to a trained model, with an event for all that happens on the way."""

import functools
from contextlib import ExitStack, closing
from itertools import chain

from charlstm.arguments import takes
from charlstm.events import Event, Started
from charlstm.language_model import LanguageModel, load
from charlstm.options import TrainOptions


@takes(TrainOptions)
def train(options: TrainOptions) -> LanguageModel:
    """Train a model on texts, for about three minutes unless told otherwise; returns the best one by validation loss.

    `texts` are files, folders, named corpora or "-" for standard input, one or a list. The run is kept in a folder, so
    that nothing is lost: a run that was stopped continues with `resume=True`, and with `minutes`, `epochs` or `steps`
    beside it for so much more than it has done; `texts` then say where its text is now, if that has moved. `on_event`
    is called with every event (see `charlstm.events`); once `should_stop` returns True, the run is saved and ends, and
    when `should_save` does, it is saved and goes on. Of several processes that train the run together process 0 keeps
    the folder and calls `on_event`; in the others only `Joined` comes, and they return the model of the last step.

    Raises:
        ConfigError: an option is out of range, or contradicts another.
        CorpusError: a text cannot be found or read.
        RunError: there is a run already, or none to resume.
        TrainingError: the loss is not finite, again and again.
        HostError: another process is lost, or does not fit, or goes on without this one; what was saved is whole.
        StorageError: the run cannot be written; what was saved before is whole.
    """
    from charlstm.runs.finding import has_local_steps
    from charlstm.runtime.hosts import JoinedHosts
    from charlstm.runtime.joining import joined
    from charlstm.runtime.setup import each_within, ready_jax

    def show(event: Event) -> None:
        if options.on_event:
            options.on_event(event)

    def never() -> bool:
        return False

    should_stop, should_save = options.should_stop or never, options.should_save or never
    with ExitStack() as stack:
        hosts = stack.enter_context(joined(options, show, functools.partial(has_local_steps, options)))
        with ready_jax():
            from charlstm.model.parameters import count_parameters
            from charlstm.training import loop
            from charlstm.training.start import starting

            if isinstance(hosts, JoinedHosts) and not hosts.leads:
                from charlstm.training.following import follow

                return LanguageModel(follow(hosts, options, should_stop))
            start = stack.enter_context(starting(options, show, hosts))
            run, parameters = start.run, count_parameters(start.run.config.model)
        training = loop.train(
            run, start.corpus, start.params, options.resume, lambda: should_stop() or hosts.is_asked_to_stop,
            should_save, start.seconds, hosts=hosts,
        )  # fmt: skip
        stack.enter_context(closing(training))  # if `show` fails, what was trained is saved
        events = each_within(ready_jax, training)
        first = next(events)  # a run that cannot go on is refused before it is said to have started
        show(Started(run=run.path, config=run.config, parameters=parameters, notes=start.notes))
        for event in chain([first], events):
            show(event)
    return load(run.path)
