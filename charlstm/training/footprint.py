"""How much memory a training step takes, known before anything is allocated.

The shares below are those of XLA's own plans for one layer and for several, large and small vocabularies, both
precisions and both optimizers, on jax 0.10 and 0.12: the estimate was 0.74 to 1.10 of them
(tests/benchmarks/memory.py compares).
"""

from dataclasses import replace

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.errors import setting
from charlstm.runtime.memory import require_memory, sharing_devices
from charlstm.runtime.mesh import MEMBERS, make_mesh
from charlstm.training.steps import MAX_STEPS

_NUMBER = 4  # bytes of a float32
# Numbers for each position of a window: of each unit of a layer (gates' inputs, slopes, outputs and their derivatives),
# and of each logit (its exponential, its derivative, the one-hot row of its target).
_OF_UNIT = {"float32": 14.0, "bfloat16": 10.0}
_OF_CELL = {"lstm": 1.0, "gru": 1.0, "rnn": 1 / 3}  # a GRU keeps as much: derivatives of four blocks
_OF_LOGIT = {"float32": 3.0, "bfloat16": 2.5}
# Copies of the parameters while they are updated; Muon needs more of its kernels, and so do dropped weights.
_OF_UPDATE, _OF_MUON, _OF_DROPPED = 2.0, 2.7, 0.8


def require_step_memory(model: ModelConfig, training: TrainingConfig, processes: int = 1) -> None:
    """Refuse a training whose steps cannot fit, before it is tried.

    Raises:
        MemoryLimitError: it needs more memory than there is.
    """
    kernels, others = _parameters(model)
    shape = f"{training.batch_size} streams of {training.sequence_length} characters"
    if _window_memory(model, training) > _NUMBER * (kernels + others):
        hint = f"lower {setting('batch_size')} or {setting('sequence_length')}"
    elif kernels > others:
        hint = f"lower {setting('hidden_size')} or {setting('layers')}"
    else:
        hint = f"lower {setting('hidden_size')} and {setting('embedding_size')}, or train on {setting('unit', 'byte')}"
    require_memory(
        step_memory(model, training, processes),
        f"training {model.layers} x {model.hidden_size} units under {model.rows:,} characters, in {shape},",
        hint,
    )


def step_memory(model: ModelConfig, training: TrainingConfig, processes: int = 1) -> int:
    """Bytes at the peak of a step, of all devices of a process that take them from the same memory."""
    training = replace(training, batch_size=max(1, training.batch_size // processes))
    kernels, others = _parameters(model)
    parameters = kernels + others
    moments = 2 * others + (2 if training.optimizer == "adamw" else 1) * kernels
    updating = _OF_UPDATE * parameters
    updating += _OF_MUON * kernels if training.optimizer == "muon" else 0
    updating += _OF_DROPPED * kernels if model.weight_drop else 0
    mesh = make_mesh(training.streams_at_once, members=model.members)
    devices, groups = sharing_devices(training.streams_at_once, model.members), mesh.shape.get(MEMBERS, 1)
    # Windows are shared out by those of a group, and all else is on every device: of a member that is being trained,
    # and as it was before and is after that of all of its group.
    share = devices * groups / mesh.size
    windows = share * _window_memory(model, training)
    kept = devices if model.members == 1 else 2 * devices * model.members // groups
    sums = (training.accumulate > 1) + (training.characters_at_once < training.sequence_length)  # of gradients
    ids = 2 * MAX_STEPS * training.batch_size * training.sequence_length * (4 if model.vocabulary_size > 2**16 else 2)
    return int(
        kept * _NUMBER * (parameters + moments)
        + share * ids
        + max(windows + devices * _NUMBER * (1 + sums) * parameters, devices * _NUMBER * updating)
    )


def _parameters(model: ModelConfig) -> tuple[int, int]:
    """How many numbers are in the kernels of the gates, and how many elsewhere."""
    R, E, H, G = model.rows, model.embedding_size, model.hidden_size, model.gates * model.hidden_size
    return G * (E + H + (model.layers - 1) * 2 * H), R * E + H * R + R + model.layers * G


def _window_memory(model: ModelConfig, training: TrainingConfig) -> float:
    """Bytes of what the forward pass keeps for the backward pass, and of what that makes of it."""
    of_unit = _OF_UNIT[training.precision] * _OF_CELL[model.cell] + (model.dropout > 0)
    each = model.layers * model.hidden_size * of_unit + model.rows * _OF_LOGIT[training.precision]
    chunk = training.characters_at_once
    between = training.sequence_length // chunk * model.layers * model.hidden_size * (2 if model.cell == "lstm" else 1)
    return _NUMBER * training.streams_at_once * (chunk * each + between)
