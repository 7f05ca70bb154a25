"""Reading a prompt: the state after it, from which any number of texts can be sampled.

A short prompt is read step by step. A long one is cut into parts that are read in parallel, at the speed of training:
each from a guess of its start, and again from the end of the part before it, until nothing changes. As recurrent
networks forget, the second reading soon agrees with the first one, and only then it is broken off; what comes out is
what one reader finds.

V: vocabulary.  S: parts of a prompt.  T: characters of a window.  N: characters that are looked back at.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Float

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.model.counts import RECENT
from charlstm.model.members import Params, merge, name_states, zero_states
from charlstm.model.network import States
from charlstm.model.parameters import abstract_model
from charlstm.model.pool import mix
from charlstm.runs.tensors import load_tensors, save_tensors
from charlstm.runs.weights import Weights, fingerprint
from charlstm.runtime.memory import MAX_LOGITS
from charlstm.runtime.mesh import STREAMS, make_mesh, replicate, shard_streams
from charlstm.sampling.repetition import LOOK_BACK

_STEPS = 1024  # characters that are read step by step, in one program
_WINDOW = 256
_PARTS = ((64, 65_536), (8, 4_096))  # so many parts, from so many characters on
_PIECE = 2**20  # characters of a text that are read at a time, as the states of every window are kept
_AGREE = 1e-5  # two states that differ by less, anywhere, are taken for the same; rounding alone makes 1e-6
_ROUNDS = 4  # a network that remembers longer is read by one reader

After = tuple[States, Float[Array, "1 V"]]  # states and logits after a text


@dataclass(frozen=True, eq=False)
class PromptState:
    """All that sampling must know of what was read: states, the network's logits of what is next, and the last ids."""

    states: States
    logits: Float[Array, "1 V"]
    recent: np.ndarray  # int32 [N], -1 where there was nothing
    fingerprint: str  # of the weights that read it

    def save(self, path: Path | str) -> None:
        """Save it as one file.

        Raises:
            StorageError: it cannot be written.
        """
        save_tensors(Path(path), _tensors(self), {"format": _FORMAT, "fingerprint": self.fingerprint})


_FORMAT = "charlstm-prompt-state-1"


def _tensors(state: PromptState) -> dict[str, Array | np.ndarray]:
    tensors: dict[str, Array | np.ndarray] = {"logits": state.logits, "recent": state.recent}
    return tensors | name_states(state.states)


def load_state(path: Path | str, weights: Weights) -> PromptState:
    """The state in a file, if `weights` have read it.

    Raises:
        RunError: it is missing, damaged, no prompt state, or of another model.
    """
    path = Path(path)
    tensors, header = load_tensors(path)
    if header.get("format") != _FORMAT:
        raise RunError(f"{path} is no prompt state", "`charlstm sample --save-state` writes one")
    require_own(header.get("fingerprint", ""), weights, str(path))
    zeros = zero_states(weights.model, 1)
    states = jax.tree.unflatten(jax.tree.structure(zeros), [jnp.asarray(tensors[name]) for name in name_states(zeros)])
    return PromptState(states, jnp.asarray(tensors["logits"]), tensors["recent"], header["fingerprint"])


def require_own(found: str, weights: Weights, what: str) -> None:
    """Refuse the state of another model.

    Raises:
        RunError: it is of one.
    """
    if found != fingerprint(weights):
        raise RunError(
            f"{what} was made by another model, or by this one before it was trained on", "read the prompt again"
        )


def read(weights: Weights, ids: np.ndarray, before: PromptState | None = None) -> PromptState:
    """The state after `ids` `[n]`, from the beginning or from `before`."""
    after = (before.states, before.logits) if before else None
    recent = np.full(LOOK_BACK, -1, np.int32) if before is None else before.recent
    states, logits = read_prompt(weights.model, weights.params, ids, after)
    recent = np.concatenate([recent, ids[-LOOK_BACK:].astype(np.int32)])[-LOOK_BACK:]
    return PromptState(states, logits, recent, before.fingerprint if before else fingerprint(weights))


def read_text(weights: Weights, prompt: str, before: PromptState | None = None) -> PromptState:
    """The state after `prompt`, in symbols of the vocabulary, from the beginning or from `before`.

    Raises:
        VocabularyError: the prompt has unknown characters.
    """
    ids = weights.vocabulary.encode(prompt) if before else weights.vocabulary.encode_prompt(prompt)
    return read(weights, ids, before) if len(ids) or before is None else before


def next_symbols(weights: Weights, after: PromptState, top: int) -> list[tuple[str, float]]:
    """The `top` most likely symbols after what was read with their probabilities, the most likely first."""
    probabilities = np.asarray(jax.nn.softmax(predicted(weights, after)[0]))
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [(weights.vocabulary.decode(best[n : n + 1]), float(probabilities[best[n]])) for n in range(len(best))]


def predicted(weights: Weights, after: PromptState) -> Float[Array, "1 V"]:
    """Logits of the next symbol after what was read, by the network and, where there are any, the counts beside it."""
    if weights.counts is None:
        return after.logits
    return mix(weights.counts, after.logits, after.recent[None, -RECENT:] + 1)


def read_prompt(model: ModelConfig, params: Params, ids: np.ndarray, after: After | None = None) -> After:
    """States and logits after the prompt `ids` `[n]`; of nothing the logits are uniform."""
    model, params = model.for_inference(), jax.device_put(params)
    states, logits = after or (zero_states(model, 1), jnp.zeros((1, model.vocabulary_size)))
    place = 0
    while place < len(ids):
        left = min(len(ids) - place, _PIECE)
        parts = next((parts for parts, least in _PARTS if left >= least and _fits(model, parts)), 0)
        # At least one step is left, for the logits.
        length = (left - 1) // (parts * _WINDOW) * _WINDOW if parts else 0
        if parts and (found := _read_in_parts(model, params, ids[place:][: parts * length].reshape(parts, -1), states)):
            states, place = found, place + parts * length
        else:
            count = min(left, _STEPS)
            padded = np.zeros(_STEPS, np.int32)
            padded[:count] = ids[place : place + count]
            states, logits = _make_steps(model)(params, padded, count, (states, logits))
            place += count
    return states, logits


def _fits(model: ModelConfig, parts: int) -> bool:
    return parts * _WINDOW * max(model.rows, model.gates * model.hidden_size) <= MAX_LOGITS * 2


def _read_in_parts(model: ModelConfig, params: Params, ids: np.ndarray, first: States) -> States | None:
    """The states after all parts `ids` `[S, L]`, the first of which starts from `first`; None if they do not settle."""
    mesh = make_mesh(len(ids))
    window, params = _make_window(model, mesh), replicate(mesh, params)
    windows = np.ascontiguousarray(ids.T.reshape(-1, _WINDOW, len(ids)), np.int32)
    starts = _placed(first, zero_states(model, len(ids)))
    known: list[States] = []  # after each window, as the last reading found them
    for _ in range(_ROUNDS):
        states = shard_streams(mesh, starts)
        for number, each in enumerate(windows):
            states = window(params, shard_streams(mesh, each, 1), states)
            if number == len(known):
                known.append(states)
            elif _agree(states, known[number]):
                break
            else:
                known[number] = states
        ends = jax.tree.map(np.asarray, known[-1])
        following = _placed(first, jax.tree.map(lambda x: np.roll(x, 1, axis=0), ends))
        if _agree(following, starts):
            return jax.tree.map(lambda x: jnp.asarray(x[-1:]), ends)
        starts = following
    return None


def _placed(first: States, rest: States) -> States:
    """`rest` with the state of its first stream replaced."""
    return jax.tree.map(lambda one, all_of_them: np.concatenate([one, all_of_them[1:]]), first, rest)


def _agree(one: States, other: States) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.abs(np.asarray(a) - np.asarray(b)).max() < _AGREE for a, b in pairs)


@lru_cache(maxsize=8)
def _make_steps(model: ModelConfig):
    """Compile-ready `read(params, ids [T], count, after) -> after`, for the first `count` ids, step by step."""
    definition, _ = abstract_model(model)
    make_table = _table_maker(model)

    @jax.jit
    def read(params, ids: Array, count: Array, after: After):
        network = merge(definition, params)
        table = make_table(network)

        def step(place, carry):
            logits, states = network.step(ids[place][None], carry[0], table)
            return states, logits

        return jax.lax.fori_loop(0, count, step, after)

    return read


@lru_cache(maxsize=8)
def _make_window(model: ModelConfig, mesh: Mesh):
    """Compile-ready `window(params, ids [T, S], states) -> states`."""
    definition, _ = abstract_model(model)

    @jax.jit
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(P(), P(None, STREAMS), P(STREAMS)),
        out_specs=P(STREAMS),
        check_vma=False,
    )
    def window(params, ids, states):
        return merge(definition, params)(ids, states)[1]

    return window


_MAX_TABLE = 2**26  # numbers of the gate table: 256 MiB


def _table_maker(model: ModelConfig):
    has_table = model.rows * model.gates * model.hidden_size <= _MAX_TABLE
    return lambda network: network.gate_table() if has_table else None


@lru_cache(maxsize=8)
def make_table(model: ModelConfig):
    """Compile-ready `table(params)`: the gate table, or None where it were too large."""
    definition, _ = abstract_model(model)
    of_network = _table_maker(model)
    return jax.jit(lambda params: of_network(merge(definition, params)))
