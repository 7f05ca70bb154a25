"""Training as every process but process 0 does it: whatever process 0 decides, until there is nothing more to do."""

from collections.abc import Callable

from charlstm.config import RunConfig
from charlstm.errors import HostError, RunError
from charlstm.options import TrainOptions
from charlstm.runs.texts import reopen
from charlstm.runs.weights import Weights
from charlstm.runtime.hosts import Hosts, JoinedHosts
from charlstm.text.batches import Windows
from charlstm.text.corpus import Corpus
from charlstm.text.vocabulary import Vocabulary
from charlstm.training.decisions import Average, Begin, End, Gather, GoBack, Measure, Read, Steps, decision_from
from charlstm.training.local_steps import make_stepper
from charlstm.training.machine import made_up_stepper
from charlstm.training.steps import Stepper, initial_state


def follow(hosts: JoinedHosts, options: TrainOptions, should_stop: Callable[[], bool]) -> Weights:
    """Do what process 0 decides; returns the weights of the last step.

    `should_stop` is asked all the time: process 0 is told once it says yes.

    Raises:
        CorpusError: the text cannot be found or read here.
        RunError: it is not the one that process 0 has.
        HostError: another process is lost, or process 0 goes on without this one.
    """
    is_asked = False

    def meanwhile() -> None:
        nonlocal is_asked
        if not is_asked and should_stop():
            is_asked = True
            hosts.ask_to_stop()

    config: RunConfig | None = None
    corpus: Corpus | None = None
    stepper: Stepper | None = None
    while True:
        match decision_from(hosts.told(meanwhile)):
            case Measure(model, training):
                stepper = made_up_stepper(model, training, hosts)
            case Read(config, vocabulary):
                corpus = _open_text(options, config, Vocabulary.from_json(vocabulary, "what process 0 has sent"))
                hosts.meet()
            case Begin():
                assert config and corpus
                stepper = begin(config, corpus, hosts)
            case Steps() as steps:
                assert stepper
                stepper.start(steps)
                stepper.collect(1)
            case Average():
                assert stepper
                stepper.average()
            case Gather():
                assert stepper
                stepper.whole_state()
            case GoBack():
                assert stepper
                stepper.go_on_from(stepper.state)
            case End():
                break
            case _:
                raise HostError("process 0 has decided what is not known here")
    assert config and corpus and stepper
    stepper.collect(0)
    return Weights(config, corpus.vocabulary, stepper.params)


def begin(config: RunConfig, corpus: Corpus, hosts: Hosts) -> Stepper:
    """What makes the steps of this process; the state that it begins with is that of process 0."""
    training = config.training
    ids, _ = corpus.split(training.validation)
    windows = Windows(ids, training.batch_size, training.sequence_length, hosts.own(training.batch_size))
    return make_stepper(config.model, training, windows, initial_state(config.model, training), hosts)


def _open_text(options: TrainOptions, config: RunConfig, vocabulary: Vocabulary) -> Corpus:
    """The text that this process was given, or where the run has it; it must be the text of process 0."""
    named = options.texts if options.texts != TrainOptions.texts or not options.resume else None
    try:
        return reopen(config.corpus, vocabulary, named=named)[0]
    except RunError as error:
        raise RunError(error.raw_message, "all processes read the same text: copy that of process 0 here") from error
