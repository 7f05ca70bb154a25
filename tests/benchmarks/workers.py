"""One measurement, one process: `python workers.py NAME SECONDS ARGUMENT...` prints a figure per second as JSON.

Peers and this project must not share a process: their thread pools would fight over the cores.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

VOCABULARY = 65


def per_second(once: Callable[[], object], amount: float, seconds: float) -> float:
    """`charlstm.training.machine.per_second` for peers whose environment lacks this project."""
    once()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        began = time.perf_counter()
        once()
        times.append(time.perf_counter() - began)
    return amount / statistics.median(times)


def train_settings(layers: int, hidden: int, batch: int, window: int, precision: str, optimizer: str, embedding: int):
    """The configurations of a model and of its training, for as many steps as one likes."""
    from charlstm.config import ModelConfig, TrainingConfig

    model = ModelConfig(
        vocabulary_size=VOCABULARY, layers=layers, hidden_size=hidden, embedding_size=embedding, dropout=0.0
    )
    training = TrainingConfig(
        batch_size=batch,
        sequence_length=window,
        optimizer=optimizer,
        learning_rate=2e-3,
        weight_decay=0.01,
        clip=1.0,
        warmup=1,
        steps=10**6,
        minutes=None,
        validation=0.0,
        patience=None,
        precision=precision,
        seed=0,
        sample_every=0,  # type: ignore
    )
    return model, training


def charlstm_train(
    seconds: float, layers: int, hidden: int, batch: int, window: int, precision: str, optimizer: str, embedding: int
) -> float:
    """Characters per second of this project's whole train step."""
    from charlstm.runtime.setup import set_up_jax
    from charlstm.training.machine import training_speed

    set_up_jax()
    model, training = train_settings(layers, hidden, batch, window, precision, optimizer, embedding)
    return training_speed(model, training, seconds)


def torch_train(seconds: float, layers: int, hidden: int, batch: int, window: int, precision: str) -> float:
    """Characters per second of embedding, nn.LSTM and linear head in PyTorch with fused AdamW and the same clip."""
    import torch

    embedding, head = torch.nn.Embedding(VOCABULARY, hidden), torch.nn.Linear(hidden, VOCABULARY)
    lstm = torch.nn.LSTM(hidden, hidden, layers)
    parameters = [*embedding.parameters(), *lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, 2e-3, fused=True)
    inputs, targets = torch.randint(0, VOCABULARY, (2, window, batch))
    state = tuple(torch.zeros(layers, batch, hidden) for _ in range(2))

    def once() -> None:
        nonlocal state
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            outputs, state = lstm(embedding(inputs), state)
            logits = head(outputs)
        loss = torch.nn.functional.cross_entropy(logits.float().view(-1, VOCABULARY), targets.reshape(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        state = tuple(part.detach().float() for part in state)

    return per_second(once, batch * window, seconds)


def flax_train(seconds: float, layers: int, hidden: int, batch: int, window: int) -> float:
    """Characters per second of a plain Flax model: nnx.RNN over OptimizedLSTMCell, autodiff, optax."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    class Plain(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.embedding = nnx.Embed(VOCABULARY, hidden, rngs=rngs)
            cells = (nnx.OptimizedLSTMCell(hidden, hidden, rngs=rngs) for _ in range(layers))
            self.layers = nnx.List(nnx.RNN(cell) for cell in cells)
            self.head = nnx.Linear(hidden, VOCABULARY, rngs=rngs)

        def __call__(self, ids):
            x = self.embedding(ids)
            for layer in self.layers:
                start = jnp.zeros((batch, hidden)), jnp.zeros((batch, hidden))
                x = layer(x, initial_carry=start)
            return self.head(x)

    model = Plain(nnx.Rngs(0))
    definition, params, rest = nnx.split(model, nnx.Param, ...)
    chain = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(2e-3))
    ids = jax.random.randint(jax.random.key(0), (batch, window + 1), 0, VOCABULARY)

    @jax.jit
    def step(params, state):
        def loss(params):
            logits = nnx.merge(definition, params, rest)(ids[:, :-1])
            return optax.softmax_cross_entropy_with_integer_labels(logits, ids[:, 1:]).mean()

        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = chain.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    carry = params, chain.init(params)

    def once() -> None:
        nonlocal carry
        params, state, value = step(*carry)
        value.block_until_ready()
        carry = params, state

    return per_second(once, batch * window, seconds)


def time_step(seconds: float, window: int, batch: int, hidden: int, precision: str) -> float:
    """Time steps per second of a layer's recurrence, forward and backward, in windows of so many; one device."""
    import jax
    import jax.numpy as jnp

    from charlstm.model.lstm import LSTMState, lstm_scan
    from charlstm.runtime.setup import set_up_jax
    from charlstm.training.machine import per_second

    set_up_jax()

    def total(gate_inputs, kernel):
        outputs, _ = lstm_scan(gate_inputs, kernel, LSTMState.zeros(batch, hidden), jnp.dtype(precision))
        return outputs.sum()

    gate_inputs, kernel = jnp.ones((window, batch, 4 * hidden)), jnp.ones((hidden, 4 * hidden)) / hidden
    gradient = jax.jit(jax.grad(total, (0, 1)))
    return per_second(lambda: jax.block_until_ready(gradient(gate_inputs, kernel)), window, seconds)


def gemm_peak(seconds: float, precision: str) -> float:
    """Floating point operations per second of a large square product, all cores."""
    from charlstm.benchmark import peak_speed

    return peak_speed(precision, seconds)  # type: ignore[arg-type]


def charlstm_sample(seconds: float, layers: int, hidden: int, streams: int, precision: str) -> float:
    """Characters per second sampled as `sample` does by default, all streams together."""
    from charlstm.benchmark import sampling_speed
    from charlstm.config import ModelConfig
    from charlstm.runtime.setup import set_up_jax

    set_up_jax()
    return sampling_speed(
        ModelConfig(vocabulary_size=VOCABULARY, layers=layers, hidden_size=hidden, embedding_size=hidden, dropout=0.0),
        streams,
        seconds,
        precision,
    )  # type: ignore


def torch_sample(seconds: float, layers: int, hidden: int) -> float:
    """Characters per second of a loop over nn.LSTMCell, one stream, temperature 0.8."""
    import torch

    embedding, head = torch.nn.Embedding(VOCABULARY, hidden), torch.nn.Linear(hidden, VOCABULARY)
    cells = [torch.nn.LSTMCell(hidden, hidden) for _ in range(layers)]
    states = [(torch.zeros(1, hidden), torch.zeros(1, hidden)) for _ in cells]
    last = torch.zeros(1, dtype=torch.long)
    length = 256

    @torch.inference_mode()
    def once() -> None:
        nonlocal last
        for _ in range(length):
            x = embedding(last)
            for layer, cell in enumerate(cells):
                states[layer] = cell(x, states[layer])
                x = states[layer][0]
            last = torch.multinomial(torch.softmax(head(x) / 0.8, -1), 1)[:, 0]

    return per_second(once, length, seconds)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    values = [int(a) if a.isdecimal() else float(a) if a.replace(".", "").isdecimal() else a for a in arguments]
    print(json.dumps(globals()[name](*values)))
