"""Steps in parts: the same losses, gradients and states as of whole steps, in less memory."""

import dataclasses
import json
import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import training_config

from charlstm.config import GATES, ModelConfig
from charlstm.model.cells import CELLS
from charlstm.model.scan import reference_scan
from charlstm.runtime.mesh import make_mesh, shard_streams
from charlstm.text.batches import Windows
from charlstm.training.optimizer import Schedule
from charlstm.training.parts import scan_in_chunks
from charlstm.training.steps import MAX_STEPS, Stepper, initial_state, make_steps


def totals(cell: str, scan, arrays, weights, length: int | None):
    """A weighted sum of a scan's outputs and last state, `length` time steps at a time, and its gradients."""

    def total(inputs, kernel, bias, hidden):
        def chunk(state, inputs):
            outputs, state = scan(inputs, kernel, state, bias=bias)
            return state, outputs

        start = jax.tree.map(lambda zeros: (zeros + hidden).astype(hidden.dtype), CELLS[cell].zeros(*hidden.shape))
        last, outputs = scan_in_chunks(chunk, start, inputs, length)
        return (weights[:-1] * outputs).sum() + sum((weights[-1] * each).sum() for each in last)

    return jax.jit(jax.value_and_grad(total, (0, 1, 2, 3)))(*arrays)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_the_gradient_in_chunks_is_that_of_the_plain_scan_in_double_precision(cell, numbers):
    T, B, H, length = 23, 8, 5, 6  # the last chunk is shorter
    arrays = [numbers.normal(size=shape) * 0.7 for shape in ((T, B, GATES[cell] * H), (H, GATES[cell] * H), (B, H))]
    inputs, kernel, hidden = arrays
    bias = numbers.normal(size=GATES[cell] * H)
    arrays, weights = [inputs, kernel, bias, hidden], numbers.normal(size=(T + 1, B, H))
    with jax.enable_x64(True):
        exact = totals(cell, partial(reference_scan, CELLS[cell].cell), arrays, weights, None)
    singles = [jnp.float32(each) for each in arrays]
    scan = CELLS[cell].scan
    whole, chunked = (totals(cell, scan, singles, jnp.float32(weights), each) for each in (None, length))
    for true, at_once, in_chunks in zip(*map(jax.tree.leaves, (exact, whole, chunked)), strict=True):
        assert true.dtype == np.float64 and in_chunks.dtype == np.float32
        np.testing.assert_allclose(in_chunks, true, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(in_chunks, at_once, rtol=1e-5, atol=1e-5)


def test_steps_in_parts_learn_what_whole_ones_do(make_run, corpus):
    config = make_run(batch_size=8, optimizer="adamw").config  # with dropout of units and weights
    found = []
    for accumulate, chunk_length in ((1, None), (2, None), (4, 5)):
        training = dataclasses.replace(config.training, accumulate=accumulate, chunk_length=chunk_length)
        stepper = Stepper(config.model, training, Windows(corpus.ids, 8, 16), initial_state(config.model, training))
        for step in range(4):
            stepper.dispatch(step, 1, Schedule(5e-3, 2, 20))
        done = stepper.collect(0)
        found.append((done.loss, done.gradient_norm, stepper.state))
    for each in found[1:]:
        np.testing.assert_allclose(each[:2], found[0][:2], rtol=1e-5)
        for parts, whole in zip(*(jax.tree.leaves((x[2].params, x[2].states)) for x in (each, found[0])), strict=True):
            np.testing.assert_allclose(parts, whole, atol=1e-4)


@pytest.mark.slow
def test_memory_grows_with_the_root_of_a_window():
    model = ModelConfig(vocabulary_size=29, layers=1, hidden_size=64, embedding_size=16, dropout=0.0)

    def temporary(window: int, chunk_length: int) -> int:
        training = training_config(batch_size=8, sequence_length=window, chunk_length=chunk_length)
        mesh = make_mesh(8)
        state = jax.eval_shape(lambda: initial_state(model, training))
        ids = shard_streams(mesh, np.zeros((MAX_STEPS, window, 8), np.uint8), 2)
        steps = make_steps(model, training, mesh).lower(state, ids, ids, np.zeros(MAX_STEPS, np.float32), 1)
        return steps.compile().memory_analysis().temp_size_in_bytes

    short, long = temporary(1024, 32), temporary(16_384, 128)
    assert long < 5 * short


DEVICES = """
import dataclasses, json, sys
from charlstm.runtime.setup import set_up_jax
set_up_jax()
import jax, numpy as np
from charlstm.config import ModelConfig, TrainingConfig
from charlstm.text.batches import Windows
from charlstm.training.optimizer import Schedule
from charlstm.training.steps import Stepper, initial_state
model, training = (kind(**data) for kind, data in zip((ModelConfig, TrainingConfig), json.loads(sys.argv[1])))
ids = (np.arange(2000) * 7 % 29).astype(np.uint8)
there, found = jax.local_devices(), []
for devices, accumulate in ((1, 1), (2, 1), (4, 1), (8, 1), (4, 2)):
    jax.local_devices = lambda: there[:devices]
    parts = dataclasses.replace(training, accumulate=accumulate)
    stepper = Stepper(model, parts, Windows(ids, 32, 4), initial_state(model, parts))
    assert stepper.mesh.size == devices
    for step in range(3):
        stepper.dispatch(step, 1, Schedule(1e-2, 1, 10))
    found.append(stepper.collect(0).loss / 3)
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_batch_gives_the_same_losses_on_one_two_four_and_eight_devices():
    model = ModelConfig(
        vocabulary_size=29, layers=1, hidden_size=8, embedding_size=8, dropout=0.3, weight_drop=0.2, cell="rnn"
    )
    training = training_config(batch_size=32, sequence_length=4, optimizer="adamw")
    settings = json.dumps([dataclasses.asdict(model), dataclasses.asdict(training)])
    process = subprocess.run(
        [sys.executable, "-c", DEVICES, settings],
        env=os.environ | {"CHARLSTM_CPU_DEVICES": "8"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    losses = json.loads(process.stdout)
    assert len(losses) == 5 and losses[0] < np.log(29)
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
