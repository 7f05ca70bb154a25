"""The model: its gradients against plain JAX, what depends on what, and how it grows."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.model.dropout import drop_weights, dropout_masks
from charlstm.model.loss import cross_entropy
from charlstm.model.lstm import LSTM, LSTMState
from charlstm.model.network import CharRNN, look_up, zero_states
from charlstm.model.parameters import from_tensors, grow_parameters, initial_parameters, to_tensors
from charlstm.model.scan import reference_scan

pytestmark = [pytest.mark.optimized, pytest.mark.usefixtures("strict_types")]

CONFIG = ModelConfig(vocabulary_size=7, layers=2, hidden_size=6, embedding_size=4, dropout=0.4)
T, B = 5, 3


@pytest.fixture(scope="module")
def network() -> CharRNN:
    """A model whose head is not zero."""
    network = CharRNN(CONFIG, nnx.Rngs(0))
    network.head_kernel[...] = jax.random.normal(jax.random.key(1), (6, 7))
    return network


@pytest.fixture(scope="module")
def ids() -> jax.Array:
    return jax.random.randint(jax.random.key(2), (T, B), 0, 7)


def test_cross_entropy_is_minus_the_log_softmax_and_has_its_gradient(numbers, ids):
    logits = np.float32(numbers.normal(size=(T, B, 7)) * 5)
    wide = logits.astype(np.float64)
    log_softmax = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    picked = np.take_along_axis(log_softmax, np.asarray(ids)[..., None], -1)[..., 0]
    np.testing.assert_allclose(cross_entropy(jnp.array(logits), ids), -picked, rtol=1e-5, atol=1e-6)

    def plain(logits):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), ids[..., None], -1).sum()

    ours = jax.grad(lambda logits: cross_entropy(logits, ids).sum())(jnp.array(logits))
    np.testing.assert_allclose(ours, jax.grad(plain)(jnp.array(logits)), atol=1e-6)


@given(st.floats(-1e4, 1e4))
@settings(max_examples=20)
def test_cross_entropy_does_not_care_about_a_common_shift_however_large(shift):
    logits = jnp.array([[[0.0, 1.0, 2.0]]]) + jnp.float32(shift)
    np.testing.assert_allclose(cross_entropy(logits, jnp.array([[2]])), 0.4076, atol=2e-3)


def test_look_up_has_the_gradient_of_indexing(numbers, ids):
    table, weights = np.float32(numbers.normal(size=(7, 4))), np.float32(numbers.normal(size=(T, B, 4)))
    ours = jax.grad(lambda table: (look_up(table, ids) * weights).sum())(jnp.array(table))
    plain = jax.grad(lambda table: (table[ids] * weights).sum())(jnp.array(table))
    np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


def test_few_and_many_characters_give_the_same_gate_inputs(network, ids):
    # One place is cheaper by rows, many places by the table of the whole vocabulary.
    at_once = network._first_gate_inputs(jnp.tile(ids, (20, 1)), jnp.float32)[:T]
    for t, b in np.ndindex(T, B):
        alone = network._first_gate_inputs(ids[t : t + 1, b : b + 1], jnp.float32)
        np.testing.assert_allclose(at_once[t, b], alone[0, 0], atol=1e-6)


def test_single_steps_are_the_whole_window(network, ids):
    logits, last = network(ids, zero_states(CONFIG, B))
    states, table = zero_states(CONFIG, B), network.gate_table()
    for t in range(T):
        stepped, states = network.step(ids[t], states, table)
        np.testing.assert_allclose(stepped, logits[t], atol=1e-5)
    np.testing.assert_allclose(states[1].cell, last[1].cell, atol=1e-5)


def test_a_prediction_depends_on_no_later_character_and_on_no_other_stream(network, ids):
    before, _ = network(ids, zero_states(CONFIG, B))
    changed = ids.at[3, 1].set((ids[3, 1] + 1) % 7)
    after, _ = network(changed, zero_states(CONFIG, B))
    differs = np.abs(np.asarray(after - before)).max(-1) > 0
    assert differs[3:, 1].all()
    assert not differs[:3].any() and not differs[:, [0, 2]].any()


def plain_nats(tensors, ids, targets, states, masks):
    """The mean loss as it is written down: no lookup table, no own gradients, the textbook's scan."""
    inputs, total = tensors["embedding"][ids], 0.0
    for layer, state in enumerate(states):
        gates = inputs @ tensors[f"layers.{layer}.input_kernel"] + tensors[f"layers.{layer}.bias"][None, None]
        inputs, _ = reference_scan(LSTM, gates, tensors[f"layers.{layer}.recurrent_kernel"], state)
        if masks is not None:
            inputs = inputs * masks[layer][None]
        total += inputs
    logits = total @ tensors["head_kernel"] + tensors["head_bias"][None, None]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1).mean()


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("vocabulary_size", [7, 300], ids=["table first", "rows first"])
def test_the_loss_and_all_its_gradients_are_those_of_the_plain_model(vocabulary_size, dropout):
    config = ModelConfig(vocabulary_size=vocabulary_size, layers=2, hidden_size=6, embedding_size=4, dropout=dropout)
    keys = jax.random.split(jax.random.key(4), 4)
    network = CharRNN(config, nnx.Rngs(0))
    network.head_kernel[...] = jax.random.normal(keys[0], network.head_kernel.shape)
    ids, targets = (jax.random.randint(key, (T, B), 0, vocabulary_size) for key in keys[1:3])
    states = tuple(LSTMState(*jax.random.normal(keys[3], (2, B, 6))) for _ in range(2))
    masks = dropout_masks(jax.random.key(5), jnp.arange(B), config)
    assert (masks is None) == (dropout == 0)
    definition, params = nnx.split(network, nnx.Param)

    def nats(params, states):
        return cross_entropy(nnx.merge(definition, params)(ids, states, masks)[0], targets).mean()

    loss, (gradient, by_states) = jax.jit(jax.value_and_grad(nats, (0, 1)))(params, states)
    expected, (plain_gradient, plain_by_states) = jax.jit(
        jax.value_and_grad(lambda tensors, states: plain_nats(tensors, ids, targets, states, masks), (0, 1))
    )(to_tensors(params), states)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for name, tensor in to_tensors(gradient).items():
        np.testing.assert_allclose(tensor, plain_gradient[name], rtol=1e-4, atol=1e-6, err_msg=name)
    for a, b in zip(jax.tree.leaves(by_states), jax.tree.leaves(plain_by_states), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_new_model_hesitates_evenly_among_all_characters(ids):
    logits, _ = CharRNN(CONFIG, nnx.Rngs(3))(ids, zero_states(CONFIG, B))
    np.testing.assert_allclose(cross_entropy(logits, ids), np.log(7), rtol=1e-6)


def test_rare_symbols_are_one_to_the_network_and_share_its_probability():
    config = ModelConfig(vocabulary_size=9, layers=2, hidden_size=6, embedding_size=4, dropout=0.0, rare=5)
    network = CharRNN(config, nnx.Rngs(0))
    network.head_kernel[...] = jax.random.normal(jax.random.key(1), network.head_kernel.shape)
    assert network.head_kernel.shape == (6, 5) and network.embedding.shape == (5, 4)
    ids = jax.random.randint(jax.random.key(2), (T + 1, B), 0, 9)
    logits, _ = network(ids[:-1], zero_states(config, B))
    np.testing.assert_array_equal(logits, network(jnp.where(ids > 4, 4, ids)[:-1], zero_states(config, B))[0])

    states, table, nats = zero_states(config, B), network.gate_table(), []
    for now, following in itertools.pairwise(ids):
        of_all, states = network.step(now, states, table)
        log_p = jax.nn.log_softmax(of_all)
        assert of_all.shape == (B, 9) and (log_p[:, 4:] == log_p[:, 4:5]).all()
        nats.append(-log_p[jnp.arange(B), following])
    np.testing.assert_allclose(cross_entropy(logits, ids[1:], 5), jnp.stack(nats), rtol=1e-4)


def test_masks_silence_the_right_share_and_keep_the_mean():
    streams = jnp.arange(4000)
    for mask in dropout_masks(jax.random.key(0), streams, CONFIG) or []:
        # 24,000 draws: the share's standard deviation is 0.0032, and five of them are passed once in two million.
        assert abs(float((mask == 0).mean()) - 0.4) < 0.016
        np.testing.assert_allclose(np.unique(mask), [0, 1 / 0.6], rtol=1e-6)


def test_weights_are_dropped_from_the_recurrent_kernels_alone():
    config = replace(CONFIG, hidden_size=100, weight_drop=0.3)
    params = initial_parameters(config, 0)
    before, after = to_tensors(params), to_tensors(drop_weights(jax.random.key(0), params, config))
    changed = [name for name in before if (before[name] != after[name]).any()]
    assert changed == ["layers.0.recurrent_kernel", "layers.1.recurrent_kernel"]
    gone = [after[name] == 0 for name in changed]
    assert (gone[0] != gone[1]).any()
    for name, zeros in zip(changed, gone, strict=True):
        # 40,000 draws: the share's standard deviation is 0.0023.
        assert abs(float(zeros.mean()) - 0.3) < 0.012
        np.testing.assert_allclose(after[name][~zeros], before[name][~zeros] / 0.7, rtol=1e-6)


def test_without_a_share_no_weight_is_dropped():
    params = initial_parameters(CONFIG, 0)
    assert drop_weights(jax.random.key(0), params, CONFIG) is params


def test_a_mask_belongs_to_its_stream_wherever_that_is_read():
    key = jax.random.key(5)
    together = dropout_masks(key, jnp.arange(6), CONFIG)
    apart = dropout_masks(key, jnp.arange(3, 6), CONFIG)
    assert together and apart
    np.testing.assert_array_equal(together[1][3:], apart[1])


def test_parameters_survive_their_names():
    params = initial_parameters(CONFIG, 0)
    again = from_tensors(CONFIG, to_tensors(params), "here")
    assert jax.tree.structure(again) == jax.tree.structure(params)
    assert set(to_tensors(params)) >= {"embedding", "layers.1.recurrent_kernel", "head_bias"}


def test_a_missing_a_foreign_and_a_misshapen_tensor_are_named():
    tensors = to_tensors(initial_parameters(CONFIG, 0))
    with pytest.raises(RunError, match="'head_bias' is missing"):
        from_tensors(CONFIG, {k: v for k, v in tensors.items() if k != "head_bias"}, "here")
    with pytest.raises(RunError, match="'extra' does not belong"):
        from_tensors(CONFIG, tensors | {"extra": tensors["head_bias"]}, "here")
    with pytest.raises(RunError, match=r"head_bias.*float32\[9\] instead of float32\[7\]"):
        from_tensors(CONFIG, tensors | {"head_bias": jnp.zeros(9)}, "here")


def test_a_grown_model_says_the_same_about_the_characters_it_knew(network, ids):
    new = ModelConfig(vocabulary_size=9, layers=2, hidden_size=6, embedding_size=4, dropout=0.4)
    definition, params = nnx.split(network, nnx.Param)
    grown_definition = nnx.split(nnx.eval_shape(lambda: CharRNN(new, nnx.Rngs(0))), nnx.Param)[0]
    grown = nnx.merge(grown_definition, grow_parameters(CONFIG, params, new))
    before, _ = nnx.merge(definition, params)(ids, zero_states(CONFIG, B))
    after, _ = grown(ids, zero_states(new, B))
    np.testing.assert_allclose(after[..., :7], before, atol=1e-6)
    assert (np.asarray(after[..., 7:]).max(-1) <= np.asarray(before).max(-1)).all()


@pytest.mark.parametrize(("rare", "new_rare"), [(0, 3), (5, 8), (5, 2), (5, 0)])
def test_rare_symbols_may_come_and_go(rare, new_rare):
    old, new = (
        ModelConfig(vocabulary_size=9, layers=1, hidden_size=6, embedding_size=4, dropout=0.4, rare=rare),
        ModelConfig(vocabulary_size=12, layers=1, hidden_size=6, embedding_size=4, dropout=0.4, rare=new_rare),
    )
    known, told_apart = 9 - rare, 12 - new_rare
    params = initial_parameters(old, 0)
    embedding = to_tensors(params)["embedding"]
    grown = to_tensors(grow_parameters(old, params, new))["embedding"]
    np.testing.assert_array_equal(grown[:known], embedding[:known])
    np.testing.assert_array_equal(grown[known:told_apart], np.tile(embedding.mean(0), (told_apart - known, 1)))
    if new_rare:
        np.testing.assert_array_equal(grown[-1], embedding[-1] if rare else embedding.mean(0))
