"""A score for each of many files: whose voice is it, in which language, and what does not belong here.

Each file is read from its beginning, as a text of its own. Files are streams that are read at once, each from a zero
state; a long one is cut into parts, which are warmed up on the text before them, unless it is to be read exactly. So
one compiled program reads a thousand files in the time that it takes to read them joined.

T: characters of a window.  K: windows of a dispatch.  S: streams.  N: characters of the files that are read at once.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from charlstm.errors import CharLSTMError, ConfigError, CorpusError, VocabularyError
from charlstm.evaluation.static import WARM_UP, WINDOW, fitting_window, make_scorer
from charlstm.evaluation.tally import Tally
from charlstm.model.pool import zero_reading
from charlstm.options import EvaluateOptions, OnProgress
from charlstm.runs.texts import find_files, names_of
from charlstm.runs.weights import Weights
from charlstm.runtime.memory import MAX_LOGITS
from charlstm.runtime.mesh import make_mesh, replicate, shard_streams
from charlstm.score import Evaluation
from charlstm.text.batches import masked_pairs
from charlstm.text.corpus import encode_file, open_corpus
from charlstm.text.documents import Documents, count_boundaries
from charlstm.text.spool import STDIN, name_of
from charlstm.text.unpacking import is_packed

_STREAMS = 64  # or 8 for a few files, so that there are no more than two programs to compile
_BLOCK = 128  # characters of a stream in a dispatch: what a file leaves of its last block is wasted
_PART = 8192  # characters of a part: its warm-up is a sixteenth of it
_AT_ONCE = 2**22  # characters; together files of more are not kept in memory
_LARGE = 2**23  # bytes; a file of more, or one that is packed, is mapped into memory


@dataclass(frozen=True)
class FileScores:
    """The scores of files, the best predicted first, and the reasons for those that have none, by name."""

    scores: list[Evaluation]
    refused: dict[str, CharLSTMError]


@dataclass(frozen=True, eq=False)
class _File:
    name: str
    ids: np.ndarray
    skipped: int


def score_files(weights: Weights, options: EvaluateOptions) -> FileScores:
    """Score every file of the texts of `options`, folders with all of theirs. One that cannot be read has no score.

    Raises:
        ConfigError: no text is named, or something is asked for that goes with a single score.
    """
    options.require_plain("a score for each file")
    if not options.texts:
        raise ConfigError("no files are named", "name files or folders to have a score for each of them")
    on_progress = options.on_progress or (lambda what, done, total: None)
    files, refused = _find(weights, options)
    scores, waiting, size = list[Evaluation](), list[_File](), 0
    for number, (name, path) in enumerate(files):
        on_progress("reading the files", number, len(files))
        try:
            file = _read(weights, options, name, path)
        except (CorpusError, VocabularyError) as error:
            refused[name] = error
            continue
        if waiting and size + len(file.ids) > _AT_ONCE:
            scores += _score(weights, waiting, options.exact, on_progress)
            waiting, size = [], 0
        waiting.append(file)
        size += len(file.ids)
    if waiting:
        scores += _score(weights, waiting, options.exact, on_progress)
    return FileScores(sorted(scores, key=lambda each: (math.isnan(each.loss), each.loss, each.text)), refused)


def _find(weights: Weights, options: EvaluateOptions) -> tuple[list[tuple[str, Path]], dict[str, CharLSTMError]]:
    """The files with their names, and why some are missing."""
    files, refused = list[tuple[str, Path]](), dict[str, CharLSTMError]()
    for text in names_of(options.texts or []):
        try:
            found = find_files([text], weights.config.corpus.unit, options.on_progress)
        except CorpusError as error:
            refused[text] = error
        else:
            files += [(name_of(STDIN) if text == STDIN else str(path), path) for path in found]
    return files, refused


def _read(weights: Weights, options: EvaluateOptions, name: str, path: Path) -> _File:
    about, documents = weights.config.corpus, Documents(weights.config.corpus.documents)
    how = about.unit, options.encoding or about.encoding, weights.vocabulary, options.unknown
    if is_packed(path) or path.stat().st_size > _LARGE:
        corpus = open_corpus([path], *how, documents=documents)
        return _File(name, corpus.ids, corpus.skipped)
    return _File(name, *encode_file(path, *how, documents))


def _score(weights: Weights, files: Sequence[_File], exact: bool, on_progress: OnProgress) -> Iterator[Evaluation]:
    """The scores of files that are read at once."""
    ids = files[0].ids if len(files) == 1 else np.concatenate([file.ids for file in files])
    parts = _parts([len(file.ids) for file in files], exact)
    rows, boundary, byte_lengths = weights.model.rows, weights.vocabulary.boundary, weights.vocabulary.byte_lengths
    streams = min(8 if len(parts) <= 8 else _STREAMS, max(1, MAX_LOGITS // rows))
    mesh = make_mesh(streams)
    scorer, network = (
        make_scorer(weights.model.for_inference(), mesh),
        replicate(mesh, (weights.params, weights.counts)),
    )
    states = zero_reading(weights.model, weights.counts, streams)
    time = np.arange(_BLOCK).reshape(-1, fitting_window(WINDOW, streams, rows), 1)
    tallies = [Tally() for _ in files]
    shares = _shared(-(-parts[:, 3] // _BLOCK), streams)
    for number, (part, block) in enumerate(zip(*shares, strict=True)):
        on_progress(f"scoring {len(files)} files", number, len(shares[0]))
        of_file, start, warm_up, length = np.where(part >= 0, parts[part].T, 0)
        now = block * _BLOCK + time
        windows = masked_pairs(ids, start + now, (now >= warm_up) & (now < length))
        goes_on = (block > 0)[:, None]
        carried = jax.tree.map(lambda state, goes_on=goes_on: jnp.where(goes_on, state, 0), states)
        states = shard_streams(mesh, carried)
        states, nats = scorer(*network, states, *(shard_streams(mesh, part, 2) for part in windows))
        _, targets, mask = windows
        figures = np.asarray(nats), mask.sum((0, 1)), (byte_lengths[targets] * mask).sum((0, 1))
        for file, cost, characters, utf8_bytes in zip(of_file.tolist(), *figures, strict=True):
            tallies[file].add(np.array([cost]), np.array([characters]), int(utf8_bytes))
    for file, tally in zip(files, tallies, strict=True):
        score = tally.score()
        boundaries = 0 if boundary is None else count_boundaries(file.ids[1:], boundary)
        yield Evaluation(
            score.nats, score.characters, score.utf8_bytes, score.standard_error,
            file.name, file.skipped, boundaries=boundaries,
        )  # fmt: skip


def _parts(lengths: Sequence[int], exact: bool) -> np.ndarray:
    """Parts of texts that stand one after the other, int64 `[n, 4]`.

    Each is the number of its text, where it starts, how many pairs (character, successor) of it warm up, and how many
    pairs it has in all.
    """
    parts, offset = list[tuple[int, int, int, int]](), 0
    for number, length in enumerate(lengths):
        pairs = length - 1
        step = pairs if exact else _PART
        for start in range(0, pairs, step):
            warm_up = min(start, WARM_UP)
            parts.append((number, offset + start - warm_up, warm_up, warm_up + min(step, pairs - start)))
        offset += length
    return np.array(parts, np.int64)


def _shared(sizes: np.ndarray, streams: int) -> tuple[np.ndarray, np.ndarray]:
    """How streams share parts of `sizes` blocks: which part each reads at a time, and which block of it, `[n, S]`.

    The longest part that is left goes to the stream that is free first. A stream that has none reads part -1.
    """
    free, placed = [(0, stream) for stream in range(streams)], list[tuple[int, int, int]]()
    for part in np.argsort(-sizes, kind="stable").tolist():
        time, stream = heapq.heappop(free)
        placed.append((part, time, stream))
        heapq.heappush(free, (time + int(sizes[part]), stream))
    parts, blocks = np.full((max(free)[0], streams), -1), np.zeros((max(free)[0], streams), np.int64)
    for part, time, stream in placed:
        parts[time : time + sizes[part], stream] = part
        blocks[time : time + sizes[part], stream] = np.arange(sizes[part])
    return parts, blocks
