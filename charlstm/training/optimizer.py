"""The learning rate as a function of the step, and the Optax chain that it drives."""

from collections.abc import Hashable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax

from charlstm.config import TrainingConfig
from charlstm.model.parameters import is_gate_kernel, map_named
from charlstm.training.muon import scale_by_muon

_BETA1, _BETA2, _EPSILON = 0.9, 0.99, 1e-8
_MOMENTUM = 0.95


@dataclass(frozen=True)
class Schedule:
    """The learning rate rises linearly over `warmup` steps and falls linearly to zero at step `total`.

    A run that is given minutes learns how many steps they buy only while it goes. `replan` therefore bends the fall:
    `progress` of the way down is covered at step `anchor`, and the rest is spread over the steps that remain. The
    rate stays continuous, and a function of the step alone. `total` is 0 as long as it is unknown: no fall yet.

    A run that has ended and is prolonged rises and falls once more, from the step `start` on: after a second warm-up
    to the same rate a model learns on as if it had seen all text at once (Ibrahim et al. 2024).
    """

    peak: float
    warmup: int
    total: int = 0
    anchor: int = 0
    progress: float = 0.0
    start: int = 0

    def progress_at(self, step: int) -> float:
        """How much of the way down is covered at `step`, from 0 to 1."""
        if self.total == 0:
            return 0.0
        if self.total <= self.anchor:
            return 1.0
        share = (step - self.anchor) / (self.total - self.anchor)
        return self.progress + (1 - self.progress) * min(1.0, max(0.0, share))

    def rate(self, step: int) -> float:
        """The learning rate of the step number `step`, counted from 0."""
        warm = min(1.0, (step - self.start + 1) / self.warmup) if self.warmup else 1.0
        return self.peak * warm * (1 - self.progress_at(step))

    def rates(self, step: int, count: int, max_steps: int) -> np.ndarray:
        """The rates of `count` steps from `step` on, float32 `[max_steps]`; zeros after the last one."""
        rates = np.zeros(max_steps, np.float32)
        rates[:count] = [self.rate(step + k) for k in range(count)]
        return rates

    def replan(self, step: int, total: int) -> "Schedule":
        """The same rate up to `step`, and from there down to zero at `total`."""
        return replace(self, total=total, anchor=step, progress=self.progress_at(step))

    def with_peak(self, peak: float) -> "Schedule":
        """The same towards another peak."""
        return replace(self, peak=peak)

    def prolong(self, step: int, peak: float) -> "Schedule":
        """The schedule of a run that goes on from `step`, to an end that is not known yet.

        Where the rate has come down to zero it warms up once more, to `peak`; else it goes on from where it is.
        """
        left = 1 - self.progress_at(step)
        return replace(self, peak=self.peak * left, total=0) if left else Schedule(peak, self.warmup, start=step)


def make_optimizer(config: TrainingConfig, gates: int = 4) -> optax.GradientTransformation:
    """The chain for a rate of 1: clip of the gradient's global norm, Muon or AdamW, decoupled weight decay.

    `gates` is how many a layer has.

    The caller scales the updates by the learning rate of the step. Muon is for the kernels of the gates; embedding,
    head and biases are always AdamW's (Loshchilov & Hutter 2019). Weight decay leaves biases alone.
    """
    rules: dict[Hashable, optax.GradientTransformation] = {
        "adamw": optax.scale_by_adam(_BETA1, _BETA2, _EPSILON),
        "muon": scale_by_muon(_MOMENTUM, jnp.dtype(config.precision), gates),
    }

    def rule_of(name: str, leaf: jax.Array) -> str:
        return config.optimizer if is_gate_kernel(name) else "adamw"

    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.partition(rules, lambda params: map_named(rule_of, params)),
        optax.add_decayed_weights(
            config.weight_decay, mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
        ),
        optax.scale(-1.0),
    )
