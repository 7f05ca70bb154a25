"""Entropies against brute force over all symbols."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from charlstm.model.loss import cross_entropy, entropy


@pytest.mark.parametrize("rare", [0, 3])
def test_it_is_the_mean_of_what_each_symbol_would_cost(rare):
    logits = jax.random.normal(jax.random.key(0), (2, 3, 5)) * 3
    symbols = 5 + max(0, rare - 1)
    nats = np.stack([cross_entropy(logits, jnp.full((2, 3), symbol), rare) for symbol in range(symbols)])
    probabilities = np.exp(-nats.astype(float))
    np.testing.assert_allclose(probabilities.sum(0), 1, rtol=1e-5)
    np.testing.assert_allclose(entropy(logits, rare), (probabilities * nats).sum(0), rtol=1e-5)
