"""A session: a text that a writer and a model write in turns, and what the model expects while the writer types.

What was typed and what was generated is the context of all that follows. Each turn has a seed of its own, the next one
a seed larger by 1.
"""

import codecs
import dataclasses
import secrets
import threading
from collections import deque
from collections.abc import Generator
from typing import NamedTuple

import jax
import numpy as np

from charlstm.errors import ConfigError
from charlstm.options import SampleOptions
from charlstm.runs.weights import Weights
from charlstm.runtime.setup import ready_jax
from charlstm.sampling.completion import Completer, Completions
from charlstm.sampling.prompt import PromptState, read, require_own
from charlstm.sampling.samples import Request, pieces_after

_MAX_TURNS = 100  # that can be undone
_MAX_PREFIXES = 64  # of what is being typed, whose states are kept
_MAX_STEPS = 8  # symbols that are read one by one; more are read at once
_EXPANSIONS = 192  # for what is expected while somebody types: 12 batches, a dozen milliseconds at 1x512


class _Turn(NamedTuple):
    """A turn, as far as it must be known to be undone."""

    typed: str
    before: PromptState | None
    pieces: int


class Session:
    """The context, in symbols of the vocabulary, and the state of the model behind it.

    Turns and predictions may be asked for by different threads: one waits for the other.
    """

    def __init__(self, weights: Weights, options: SampleOptions) -> None:
        seed = secrets.randbelow(2**32) if options.seed is None else options.seed
        self.options = dataclasses.replace(options, prompt="", state=None, seed=seed)
        self.vocabulary = weights.vocabulary
        self._weights = dataclasses.replace(weights, params=jax.device_put(weights.params))
        self._state: PromptState | None = options.state
        self._pieces: list[str] = []
        self._turns: deque[_Turn] = deque(maxlen=_MAX_TURNS)
        self._prefixes: dict[bytes, PromptState] = {}
        self._lock = threading.Lock()
        self._completer = Completer(self._weights)
        if self._state is not None:
            require_own(self._state.fingerprint, weights, "the session's state")
        self._request(self.options)
        if options.prompt:
            symbols = self._symbols(options.prompt)
            self._go_on(read(self._weights, self._encode(symbols), self._state), symbols)

    @property
    def text(self) -> str:
        """All that was typed and generated."""
        return self.vocabulary.text_of("".join(self._pieces))

    def turn(self, typed: str) -> Generator[str, None, None]:
        """What follows, in pieces, as soon as they are there; what was taken of it is the context of the next turn.

        Bytes that are no UTF-8 come as lone surrogates.

        By default a turn ends with an empty line or a document, or after `length` characters.

        Raises:
            VocabularyError: what was typed has unknown characters, and they are not to be skipped; nothing has changed.
        """
        symbols = self._symbols(typed)
        return self._written(typed, symbols, self._encode(symbols))

    def _written(self, typed: str, symbols: str, ids: np.ndarray) -> Generator[str, None, None]:
        request = self._request(self.options)
        with self._lock, ready_jax():
            after = read(self._weights, ids, self._state)
        sampled, written = [ids[:0]], list[str]()
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")  # a piece may end within a character
        try:
            for piece in pieces_after(self._weights, request, after, ""):
                sampled.append(piece.ids)
                written.append(piece.text)
                is_text = self.vocabulary.unit == "character"
                yield piece.text if is_text else decoder.decode(piece.text.encode("latin-1"))
            if rest := decoder.decode(b"", final=True):
                yield rest
        finally:
            with self._lock, ready_jax():
                after = read(self._weights, np.concatenate(sampled), after)
                self._turns.append(_Turn(typed, self._state, len(self._pieces)))
                self._go_on(after, symbols, *written)
            self.options = dataclasses.replace(self.options, seed=(request.seed + 1) % 2**32)

    def predict(self, typed: str, top: int = 5) -> Completions:
        """The words that are expected after `typed`, which is being typed.

        Raises:
            VocabularyError: it has unknown characters, and they are not to be skipped.
            RunError: the weights are not finite.
        """
        with self._lock, ready_jax():
            after = self._after(self._encode(self._symbols(typed)))
            return self._completer.complete(after, "word", top, _EXPANSIONS)

    def undo(self) -> str:
        """Take the last turn back, and return what was typed.

        Raises:
            ConfigError: there is none.
        """
        if not self._turns:
            raise ConfigError("there is no turn to take back")
        with self._lock:
            turn = self._turns.pop()
            self._state, self._prefixes = turn.before, {}
            del self._pieces[turn.pieces :]
        return turn.typed

    def reset(self) -> None:
        """Forget all."""
        with self._lock:
            self._state, self._prefixes = None, {}
            self._turns.clear()
            self._pieces.clear()

    def change(self, **options: object) -> None:
        """Sample with other options from now on.

        Raises:
            ConfigError: one is out of range, or nothing could be sampled.
        """
        changed = dataclasses.replace(self.options, **options)  # type: ignore[arg-type]
        self._request(changed)
        self.options = changed

    def _request(self, options: SampleOptions) -> Request:
        """By default a turn ends with an empty line or, where the model knows documents, with one of them.

        Raises:
            ConfigError: nothing could be sampled, or an end never comes.
        """
        if options.ends or options.lines or options.documents or options.length != SampleOptions.length:
            return Request.of(self._weights, options)
        until = ["\n\n"] if "\n" in self.vocabulary.symbols else []
        documents = None if self.vocabulary.boundary is None else 1
        ended = dataclasses.replace(options, until=until, documents=documents)
        return Request.of(self._weights, ended)._replace(length=options.length)

    def _symbols(self, typed: str) -> str:
        symbols = self.vocabulary.symbols_of(typed)
        return self.vocabulary.keep_known(symbols) if self.options.unknown == "skip" else symbols

    def _encode(self, symbols: str) -> np.ndarray:
        ids = self.vocabulary.encode_prompt(symbols) if self._state is None else self.vocabulary.encode(symbols)
        return ids.astype(np.int32)

    def _go_on(self, state: PromptState, *pieces: str) -> None:
        self._state, self._prefixes = state, {}
        self._pieces += pieces

    def _after(self, ids: np.ndarray) -> PromptState:
        """The state after `ids`; of what was read before, only what is new is read."""
        prefix = max(filter(ids.tobytes().startswith, self._prefixes), key=len, default=b"")
        known, state = len(prefix) // ids.itemsize, self._prefixes.get(prefix, self._state)
        if len(ids) - known > _MAX_STEPS or state is None:
            state = read(self._weights, ids[known:], state)
            self._keep(ids, state)
        else:
            for place in range(known, len(ids)):
                state = self._step(state, int(ids[place]))
                self._keep(ids[: place + 1], state)
        return state

    def _step(self, state: PromptState, following: int) -> PromptState:
        before = [np.asarray(leaf)[0] for leaf in jax.tree.leaves(state.states)]
        logits, (leaves,) = self._completer.expand([before], [following])
        # Copies, for what comes are views of a whole batch, and many states are kept.
        states = jax.tree.unflatten(jax.tree.structure(state.states), [leaf[None].copy() for leaf in leaves])
        recent = np.append(state.recent[1:], np.int32(following))
        return dataclasses.replace(state, states=states, logits=logits.copy(), recent=recent)

    def _keep(self, ids: np.ndarray, state: PromptState) -> None:
        self._prefixes[ids.tobytes()] = state
        if len(self._prefixes) > _MAX_PREFIXES:
            self._prefixes.pop(next(iter(self._prefixes)))
