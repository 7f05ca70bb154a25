"""From key to suggestion: `uv run python tests/benchmarks/predictive.py`, at 1x512 with random weights, or of a RUN.

A text is typed key by key, with a pause of a tenth of a second after each suggestion, and now and then a backspace. The
terminal is a pipe of prompt_toolkit. Random weights are the hardest: all continuations are about as probable, and the
search goes on until its bound.
"""

import argparse
import statistics
import threading
import time

import jax
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from charlstm import LanguageModel, load
from charlstm.cli.writer import Writer
from charlstm.config import CorpusConfig, ModelConfig, RunConfig, TrainingConfig
from charlstm.model.parameters import from_tensors, initial_parameters, to_tensors
from charlstm.runs.weights import Weights
from charlstm.runtime.processor import processor
from charlstm.runtime.setup import ready_jax, versions
from charlstm.text.vocabulary import Vocabulary

TEXT = "The salt road runs from hill to sea, and who goes out comes home to tea. " * 3


def random_model(layers: int, hidden_size: int) -> LanguageModel:
    """A model of printable ASCII that predicts at random."""
    vocabulary = Vocabulary.of_characters("\n" + "".join(map(chr, range(32, 127))))
    shape = ModelConfig(
        vocabulary_size=len(vocabulary), layers=layers, hidden_size=hidden_size, embedding_size=64, dropout=0.0
    )
    with ready_jax():
        tensors = dict(to_tensors(initial_parameters(shape, 0)))
        tensors["head_kernel"] = jax.random.normal(jax.random.key(1), tensors["head_kernel"].shape)
        params = from_tensors(shape, tensors, "")
    training = TrainingConfig(
        batch_size=1, sequence_length=1, optimizer="muon", learning_rate=1e-3, weight_decay=0.0, clip=1.0, warmup=0,
        steps=1, minutes=None, validation=0.1, patience=None, precision="float32", seed=0, sample_every=0,
    )  # fmt: skip
    corpus = CorpusConfig(sources=[], unit="character", encoding="utf-8", fingerprint="", characters=2)
    return LanguageModel(Weights(RunConfig(model=shape, training=training, corpus=corpus), vocabulary, params))


def measure(model: LanguageModel) -> list[float]:
    """Seconds from each key to its suggestion."""
    session = model.session()
    session.predict("")
    seconds: list[float] = []
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        writer = Writer(session)

        def type_text() -> None:
            time.sleep(1)
            for number, character in enumerate(TEXT):
                for key in (character, "\x7f", character) if number % 10 == 9 else (character,):
                    start, before = time.perf_counter(), writer.found
                    keys.send_text(key)
                    while writer.found is before or not writer.found:
                        time.sleep(2e-4)
                    seconds.append(time.perf_counter() - start)
                    time.sleep(0.1)
            keys.send_text("\r")

        threading.Thread(target=type_text).start()
        assert writer.ask() == TEXT
    return seconds


def main() -> None:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--hidden-size", type=int, default=512)
    options = parser.parse_args()
    model = load(options.run) if options.run else random_model(options.layers, options.hidden_size)
    print(f"{processor()}; " + ", ".join(f"{name} {version}" for name, version in versions().items()))
    milliseconds = sorted(1000 * each for each in measure(model))
    shape = model.config.model
    name, median = f"{shape.layers}x{shape.hidden_size}", statistics.median(milliseconds)
    within = milliseconds[int(0.95 * len(milliseconds))]
    print(f"{name}, {len(milliseconds)} keys: median {median:.1f} ms, 95% within {within:.1f} ms", end="")
    print(f", longest {milliseconds[-1]:.1f} ms")


if __name__ == "__main__":
    main()
