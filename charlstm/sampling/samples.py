"""Samples: from what is asked for to texts that grow."""

import codecs
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import jax
import numpy as np

from charlstm.errors import ConfigError, setting
from charlstm.evaluation.dynamic import Adapter
from charlstm.options import SampleOptions, SamplesOptions
from charlstm.runs.texts import own_text
from charlstm.runs.weights import Weights
from charlstm.runtime.setup import each_within, ready_jax
from charlstm.sampling.allowed import allowed_mask
from charlstm.sampling.ends import Ended, Ends, Piece, Watch, hashes_of
from charlstm.sampling.filters import Filters
from charlstm.sampling.generation import generate_ids
from charlstm.sampling.prompt import PromptState, read_text, require_own
from charlstm.text.vocabulary import Vocabulary

MAX_STREAMS = 256  # at a time: memory and the wait for the first text stay small
# Of a device. From 2 rows to 32 a CPU rounds the sums of each in the same way (jax 0.10 and 0.12), so that a sample is
# the same, bit for bit, however many there are. A single row is another program: where two sums part in their last
# bits, so may, in one of some 60,000 characters, what is drawn.
_MAX_ROWS, _MIN_ROWS = 32, 2


@dataclass(eq=False)
class Sample:
    """A text that was sampled, or that is being sampled: `ended` says why it ended, None that it goes on."""

    prompt: str
    seed: int
    vocabulary: Vocabulary = field(repr=False)
    pieces: list[str] = field(default_factory=list, repr=False)  # in symbols of the vocabulary
    ids: list[int] = field(default_factory=list, repr=False)
    log_probabilities: list[float] = field(default_factory=list, repr=False)  # of each id, before any filter
    length: int = 0  # symbols so far
    ended: Ended | None = None

    def forget(self) -> None:
        """Drop what was sampled so far, which somebody has used: an endless sample needs no more memory then."""
        for kept in (self.pieces, self.ids, self.log_probabilities):
            kept.clear()

    @property
    def text(self) -> str:
        """What follows the prompt."""
        return self.vocabulary.text_of("".join(self.pieces))


class Request(NamedTuple):
    """What the texts of one call have in common; a length of 0 is endless."""

    length: int
    filters: Filters
    mask: np.ndarray | None
    ends: Ends
    seed: int

    @classmethod
    def of(cls, weights: Weights, options: SampleOptions) -> "Request":
        """Closes what the user left open, and refuses what cannot be.

        Raises:
            ConfigError: an option is of no use with this model.
            RunError: the state is of another model, or the model's own text has changed.
            CorpusError: the model's own text is gone.
        """
        vocabulary = weights.vocabulary
        if options.state is not None:
            require_own(options.state.fingerprint, weights, "the prompt's state")
        until = [vocabulary.symbols_of(text) for text in options.ends]
        ends = Ends(vocabulary, until, options.lines, options.documents or 0)
        if options.novel:
            ends = replace(ends, known=hashes_of(own_text(weights, options.own_text)[0]))
        seed = secrets.randbelow(2**32) if options.seed is None else options.seed
        mask = allowed_mask(vocabulary, options.only, options.ban)
        return cls(0 if options.documents else options.length, Filters.of(options), mask, ends, seed)


def _weights_for(weights: Weights, options: SampleOptions, prompts: Sequence[str]) -> Callable[[str], Weights]:
    """Which weights go on from a prompt: the saved ones or, with `dynamic`, those that have learned from it.

    Raises:
        ConfigError: there is nothing to learn from.
        CorpusError, RunError: the model's own text, which says how to learn, is gone or has changed.
    """
    if not options.dynamic:
        return lambda prompt: weights
    if not any(prompts):
        raise ConfigError(f"{setting('dynamic', True)} learns from a prompt, and none is given")
    corpus, _ = own_text(weights, options.own_text)
    training_ids, _ = corpus.split(weights.config.training.validation)
    adapter = Adapter.measured(weights, training_ids)
    adapter, rule = adapter.tuned(training_ids)

    @lru_cache(maxsize=1)  # samples of one prompt may come in several groups
    def learned(prompt: str) -> Weights:
        return adapter.learn(weights.vocabulary.encode_prompt(prompt), rule)

    return learned


def stream_sample(weights: Weights, options: SampleOptions) -> Iterator[str]:
    """One sample, in pieces; bytes that are no UTF-8 come as lone surrogates, as in `surrogateescape`.

    Raises:
        VocabularyError: the prompt has unknown characters, and they are not to be skipped.
        ConfigError, RunError, CorpusError: as above.
    """
    vocabulary, request = weights.vocabulary, Request.of(weights, options)
    prompt = vocabulary.known_symbols(options.prompt, options.unknown)
    weights = _weights_for(weights, options, [prompt])(prompt)
    pieces = pieces_after(weights, request, read_text(weights, prompt, options.state), prompt)
    if vocabulary.unit == "character":
        return (piece.text for piece in pieces)
    return codecs.iterdecode((piece.text.encode("latin-1") for piece in pieces), "utf-8", "surrogateescape")


def pieces_after(weights: Weights, request: Request, after: PromptState, prompt: str) -> Iterator[Piece]:
    """What follows a prompt, of which `after` is the state; without log-probabilities, which take time."""
    length, filters, mask, ends, seed = request
    watch = Watch(ends, weights.vocabulary.encode_prompt(prompt))
    chunks = generate_ids(weights.model, weights.params, [after], length, filters, [seed], mask, counts=weights.counts)
    for drawn in each_within(ready_jax, chunks):  # between the pieces JAX is the caller's
        ids = np.asarray(drawn.ids[:, 0])
        piece = watch.cut(ids, np.full(len(ids), np.nan))
        yield piece
        if piece.ended:
            return


def grow_samples(weights: Weights, options: SamplesOptions) -> Iterator[Iterator[list[Sample]]]:
    """Samples in groups of those that are sampled at once; each group comes as often as all of its texts have grown.

    Raises:
        VocabularyError: a prompt has unknown characters, and they are not to be skipped.
        ConfigError, RunError, CorpusError: as above.
    """
    vocabulary, request = weights.vocabulary, Request.of(weights, options)
    prompts = [vocabulary.known_symbols(prompt, options.unknown) for prompt in options.prompts or [options.prompt]]
    total = len(prompts) * options.count
    weights_for = _weights_for(weights, options, prompts)

    def group(numbers: range) -> Iterator[list[Sample]]:
        texts = [prompts[number // options.count] for number in numbers]
        with ready_jax():
            weights = weights_for(texts[0])
            after = {prompt: read_text(weights, prompt, options.state) for prompt in dict.fromkeys(texts)}
        seeds = [(request.seed + number) % 2**32 for number in numbers]
        samples = [Sample(vocabulary.text_of(text), seed, vocabulary) for text, seed in zip(texts, seeds, strict=True)]
        watches = [Watch(request.ends, vocabulary.encode_prompt(text)) for text in texts]
        for _ in _grow(weights, request, samples, [after[text] for text in texts], watches, min(total, _MIN_ROWS)):
            yield samples

    at_once = _at_once()
    alike = options.count if options.dynamic else total  # so many go on with the same weights
    return map(
        group,
        (range(n, min(n + at_once, m + alike)) for m in range(0, total, alike) for n in range(m, m + alike, at_once)),
    )


def _at_once() -> int:
    """Streams that are sampled together."""
    devices = jax.local_devices()
    return min(MAX_STREAMS, _MAX_ROWS * len(devices)) if devices[0].platform == "cpu" else MAX_STREAMS


def _grow(
    weights: Weights,
    request: Request,
    samples: Sequence[Sample],
    after: Sequence[PromptState],
    watches: Sequence[Watch],
    min_rows: int,
) -> Iterator[None]:
    """Let `samples` grow by a chunk at a time, all at once, until each has ended."""
    # Rows of eight fill vectors, and few numbers of streams have to be compiled.
    more = -len(samples) % 8 if len(samples) > 4 else max(0, min_rows - len(samples))
    seeds, after = [each.seed for each in samples] + [0] * more, [*after, *[after[0]] * more]
    length, filters, mask = request.length, request.filters, request.mask
    chunks = generate_ids(
        weights.model, weights.params, after, length, filters, seeds, mask, is_scored=True, counts=weights.counts
    )
    done = 0
    for drawn in each_within(ready_jax, chunks):
        assert drawn.log_probabilities is not None
        done += len(drawn.ids)
        for stream, (sample, watch) in enumerate(zip(samples, watches, strict=True)):
            if not sample.ended:
                piece = watch.cut(np.asarray(drawn.ids[:, stream]), np.asarray(drawn.log_probabilities[:, stream]))
                sample.pieces.append(piece.text)
                sample.ids += piece.ids.tolist()
                sample.length += len(piece.ids)
                sample.log_probabilities += piece.log_probabilities.tolist()
                sample.ended = piece.ended or ("length" if done == length else None)
        yield
        if all(sample.ended for sample in samples):
            return
