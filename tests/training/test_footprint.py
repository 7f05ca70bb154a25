"""The memory of a step, against what XLA plans for it."""

import jax
import numpy as np
import pytest
from conftest import training_config

from charlstm.config import ModelConfig
from charlstm.errors import MemoryLimitError
from charlstm.options import Cell, TrainOptions
from charlstm.runtime.mesh import make_mesh
from charlstm.training import plan
from charlstm.training.footprint import require_step_memory, step_memory
from charlstm.training.machine import Machine
from charlstm.training.steps import MAX_STEPS, initial_state, make_steps


def model_of(
    hidden_size: int, vocabulary_size: int = 65, layers: int = 1, drop: float = 0.0, cell: Cell = "lstm"
) -> ModelConfig:
    return ModelConfig(
        cell=cell,
        vocabulary_size=vocabulary_size,
        layers=layers,
        hidden_size=hidden_size,
        embedding_size=min(128, hidden_size),
        dropout=drop,
        weight_drop=drop,
    )


@pytest.mark.optimized
@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (model_of(128), {"batch_size": 64, "sequence_length": 128}),
        (model_of(384, drop=0.2), {"batch_size": 16, "sequence_length": 64, "precision": "bfloat16"}),
        (model_of(512, layers=2), {"batch_size": 32, "sequence_length": 128, "precision": "bfloat16"}),
        (model_of(384, cell="gru"), {"batch_size": 64, "sequence_length": 128}),
        (model_of(512, cell="rnn"), {"batch_size": 64, "sequence_length": 128, "precision": "bfloat16"}),
        (model_of(1024), {"batch_size": 1, "sequence_length": 16}),
        (model_of(1024), {"batch_size": 8, "sequence_length": 32, "optimizer": "adamw"}),
        (model_of(128, 31_000), {"batch_size": 16, "sequence_length": 64}),
        (model_of(64, 1_100_000), {"batch_size": 8, "sequence_length": 8, "optimizer": "adamw"}),
        (model_of(256, drop=0.2), {"batch_size": 32, "sequence_length": 1024, "accumulate": 2, "chunk_length": 32}),
    ],
    ids=[
        "128",
        "384",
        "2x512",
        "GRU",
        "RNN",
        "1024, Muon",
        "1024, AdamW",
        "31,000 characters",
        "1.1 million characters",
        "in parts",
    ],
)
def test_the_estimate_is_near_what_xla_plans(model, changes):
    training = training_config(**changes)
    mesh = make_mesh(training.batch_size)
    state = jax.eval_shape(lambda: initial_state(model, training))
    shape = (MAX_STEPS, training.sequence_length, training.batch_size)
    ids = jax.ShapeDtypeStruct(shape, np.uint32 if model.vocabulary_size > 2**16 else np.uint16)
    rates = jax.ShapeDtypeStruct((MAX_STEPS,), np.float32)
    planned = make_steps(model, training, mesh).lower(state, ids, ids, rates, 1).compile().memory_analysis()
    peak = planned.argument_size_in_bytes + planned.temp_size_in_bytes
    peak += planned.output_size_in_bytes - planned.alias_size_in_bytes
    assert 0.7 < step_memory(model, training) / (peak * mesh.size) < 1.3


@pytest.mark.parametrize(
    ("model", "changes", "flag"),
    [
        (model_of(65_536), {}, "hidden_size"),
        (model_of(64), {"batch_size": 2**20, "sequence_length": 2**20}, "batch_size"),
        (model_of(65_536, 2**31 - 1), {}, "embedding_size"),
    ],
)
def test_what_cannot_fit_is_refused_with_the_setting_to_lower(model, changes, flag):
    with pytest.raises(MemoryLimitError) as found:
        require_step_memory(model, training_config(**changes))
    assert flag in found.value.hint


def test_a_hidden_size_that_cannot_fit_is_refused_before_the_machine_is_measured(monkeypatch):
    monkeypatch.setattr(plan, "measure_machine", lambda *_: pytest.fail("measured"))
    with pytest.raises(MemoryLimitError):
        plan.resolve(TrainOptions(hidden_size=65_536, layers=64), 10**6, 65, 2)


@pytest.mark.parametrize("memory", [10**8, 3 * 10**8, 10**9])
def test_what_is_chosen_fits(memory):
    fast = Machine("float32", 1e15)
    asked = TrainOptions(minutes=600)
    free = plan.resolve(asked, 10**8, 65, 2, machine=fast)
    found = plan.resolve(asked, 10**8, 65, 2, machine=fast._replace(memory=memory))
    assert step_memory(found.model, found.training) <= memory < step_memory(free.model, free.training)
    assert "fit into the memory" in found.notes[0]
