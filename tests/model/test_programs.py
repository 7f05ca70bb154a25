"""What the compilers make of the loops over time: nothing of the size of a window or a kernel is touched in a step.

A compiler that copies what a loop writes to makes a time step cost more the longer the window is; jax 0.10 once did,
four times slower and with every result right. So these tests read the optimised programs.
"""

import math
import re

import jax
import numpy as np
import pytest
from conftest import training_config

from charlstm.config import ModelConfig
from charlstm.model.counts import RECENT, Counts
from charlstm.model.parameters import initial_parameters
from charlstm.model.pool import Reading
from charlstm.runtime.mesh import make_mesh, replicate, shard_streams
from charlstm.sampling.filters import Filters
from charlstm.sampling.generation import CHUNK, Streams, make_chunk
from charlstm.sampling.prompt import make_table, read_prompt
from charlstm.training.ngrams import count
from charlstm.training.steps import MAX_STEPS, initial_state, make_steps, shard_state

pytestmark = pytest.mark.optimized

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "u16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8}
MOVES_NOTHING = {"parameter", "get-tuple-element", "tuple", "bitcast", "constant", "while", "conditional", "call"}
INSTRUCTION = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (\(?)(\w+)\[([\d,]*)\]\S* ([\w\-]+)\(")


def computations(program: str) -> dict[str, list[str]]:
    """The computations of an HLO text by name, each as its lines."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in program.splitlines():
        if line.endswith("{") and (match := re.match(r"^(?:ENTRY )?%?([\w.\-]+) \(", line)):
            lines = found[match[1]] = []
        elif line.startswith("  "):
            lines.append(line)
    return found


def loops(program: str, rounds: int) -> list[str]:
    """The bodies of the loops that go round so often."""
    whiles = (line for line in program.splitlines() if " while(" in line)
    bodies = [re.search(r"body=%?([\w.\-]+)", line) for line in whiles if f'"n":"{rounds}"' in line]
    return [body[1] for body in bodies if body]


def written(program: str, rounds: int) -> list[list[tuple[int, str]]]:
    """For each loop of so many rounds, the bytes that the operations of one round write, and which these are.

    An operation that updates a slice in place writes the slice.
    """
    parts = computations(program)

    def written_by(line: str) -> tuple[int, str] | None:
        match = INSTRUCTION.match(line)
        if not match or match[6] in MOVES_NOTHING:
            return None
        called = re.search(r"calls=%?([\w.\-]+)", line)
        inside = parts.get(called[1], []) if called else []
        updates = [text for text in (inside or [line]) if " dynamic-update-slice(" in text]
        if updates:  # its second operand is the slice
            sources = {m[2]: m for m in map(INSTRUCTION.match, [*inside, *parts_around(line)]) if m}
            operands = re.search(r" dynamic-update-slice\((.*?)\)", updates[-1])
            assert operands
            name = re.sub(r".*%", "", operands[1].split(", ")[1])
            match = sources[name]
        return size(match), line.strip()[:120]

    def parts_around(line: str) -> list[str]:
        return next(lines for lines in parts.values() if line in lines)

    def size(match: re.Match) -> int:
        return BYTES[match[4]] * math.prod(map(int, filter(None, match[5].split(","))))

    return [[found for line in parts[body] if (found := written_by(line))] for body in loops(program, rounds)]


def training_program(
    layers: int, H: int, T: int, B: int, precision: str, cell: str = "lstm", chunk_length: int | None = None
) -> str:
    """The optimised program of the training steps, for one device of a mesh."""
    model = ModelConfig(
        cell=cell, vocabulary_size=29, layers=layers, hidden_size=H, embedding_size=16, dropout=0.1, weight_drop=0.1
    )
    training = training_config(batch_size=B, sequence_length=T, precision=precision, chunk_length=chunk_length)
    mesh = make_mesh(B)
    state = shard_state(mesh, initial_state(model, training))
    ids = shard_streams(mesh, np.zeros((MAX_STEPS, T, B), np.uint8), 2)
    return (
        make_steps(model, training, mesh).lower(state, ids, ids, np.zeros(MAX_STEPS, np.float32), 1).compile().as_text()
    )


def chunk_program(model: ModelConfig, mesh, streams: int, counts: Counts | None = None) -> str:
    """The optimised program that draws a chunk, with `counts` beside the network or without."""
    params = initial_parameters(model, 0)
    states, logits = read_prompt(model, params, np.zeros(1, np.int32))
    table = make_table(model)(params)
    params, counts, table = replicate(mesh, (params, counts, table))
    if counts:
        states = Reading(states, jax.numpy.zeros((1, RECENT), jax.numpy.int32))
    start = shard_streams(mesh, jax.tree.map(lambda x: np.repeat(x, streams, axis=0), (states, logits)))
    chunk = make_chunk(model, Filters(), mesh)
    seeds = shard_streams(mesh, np.arange(streams, dtype=np.uint32))
    return chunk.lower(params, counts, table, None, Streams(*start, None), seeds, 0).compile().as_text()


@pytest.mark.parametrize("streams", [8, 10], ids=["units first", "streams first"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_time_step_of_training_touches_nothing_of_the_size_of_a_window_or_a_kernel(layers, precision, streams):
    H, T = 96, 23
    each = streams // 2  # two devices
    step = 4 * H * each * 4  # bytes of four gates in float32
    assert step < H * 4 * H * 2 and 4 * step < T * H * each * 4  # kernels and windows are larger
    found = written(training_program(layers, H, T, streams, precision), T)
    assert len(found) == 2 * layers  # forward and backward
    for operations in found:
        for size, line in operations:
            assert size <= step, line
        # In units of the four gates, forward: product, gates, cell, tanh, hidden, six slopes; backward: d_gates, as it
        # is kept and as it is multiplied, and states.
        assert sum(size for size, _ in operations) <= 5 * step


@pytest.mark.parametrize("streams", [8, 10], ids=["units first", "streams first"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("cell", "gates"), [("gru", 3), ("rnn", 1)])
def test_neither_does_one_of_the_other_cells(cell, gates, precision, streams):
    H, T = 96, 49
    gate = H * (streams // 2) * 4  # bytes, of a device
    found = written(training_program(1, H, T, streams, precision, cell), T)
    assert len(found) == 2
    for operations in found:
        for size, line in operations:
            assert size <= 4 * gate, line
        # Of a GRU the derivatives are of four gates, as those by candidate and past differ.
        assert sum(size for size, _ in operations) <= 5 * (gates + 1) * gate


@pytest.mark.parametrize(
    ("streams", "precision"), [(8, "bfloat16"), pytest.param(10, "float32", marks=pytest.mark.slow)]
)
def test_nor_does_one_of_a_window_in_chunks(streams, precision):
    H, chunk = 96, 23
    step = 4 * H * (streams // 2) * 4
    found = written(training_program(1, H, 3 * chunk, streams, precision, chunk_length=chunk), chunk)
    assert len(found) == 3  # forward, forward once more, and backward
    for operations in found:
        for size, line in operations:
            assert size <= step, line
        assert sum(size for size, _ in operations) <= 5 * step


@pytest.mark.parametrize("streams", [1, 8])
def test_a_character_that_is_drawn_moves_no_kernel(streams):
    V, H = 29, 96
    model = ModelConfig(vocabulary_size=V, layers=2, hidden_size=H, embedding_size=16, dropout=0.0)
    mesh = make_mesh(streams)
    program = chunk_program(model, mesh, streams)
    (found,) = written(program, CHUNK)
    for size, line in found:
        assert size < H * V * 4, line  # the smallest kernel is that of the head
    assert sum(size for size, _ in found) <= 6 * 4 * (4 * H + V) * max(1, streams // mesh.size)


@pytest.mark.parametrize("streams", [1, 8])
def test_nor_does_it_move_a_table_of_counts(streams):
    V, H = 29, 96
    model = ModelConfig(vocabulary_size=V, layers=1, hidden_size=H, embedding_size=16, dropout=0.0)
    counts = count(np.random.default_rng(0).integers(0, V, 20_000), np.arange(V) < V // 2)
    smallest = min(table.nbytes for table in counts[:5])
    (found,) = written(chunk_program(model, make_mesh(streams), streams, counts), CHUNK)
    for size, line in found:
        assert size < smallest, line
