"""Filters: each keeps what its definition says, and something always stays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.sampling.filters import (
    Filters,
    filter_logits,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    sample_ids,
)

# Few sizes, as each is compiled; 300 symbols are sorted, fewer are compared.
LOGITS = st.sampled_from([2, 5, 12, 300]).flatmap(
    lambda V: st.lists(st.floats(-8, 8).map(lambda x: round(x, 3)), min_size=V, max_size=V, unique=True)
).map(lambda values: np.array(values, np.float32))  # fmt: skip
SHARES = st.floats(0.02, 0.98)


def kept(filtered) -> set[int]:
    return set(np.flatnonzero(np.isfinite(filtered[0])).tolist())


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    exact = np.exp(logits.astype(np.float64) - logits.max())
    return exact / exact.sum()


@given(LOGITS, SHARES)
@settings(max_examples=30)
def test_the_typical_set_is_that_of_its_definition(logits, typical):
    probabilities = probabilities_of(logits)
    distance = np.abs(-np.log(probabilities) - (-probabilities * np.log(probabilities)).sum())
    order = np.argsort(distance)
    before = np.concatenate([[0], np.cumsum(probabilities[order])[:-1]])
    if np.diff(distance[order]).min() < 1e-4 or np.abs(before - typical).min() < 1e-4:
        return  # a tie that rounding decides
    assert kept(keep_typical(jnp.array(logits)[None], typical)) == set(order[before < typical].tolist())


@given(LOGITS, SHARES)
@settings(max_examples=30)
def test_min_p_is_a_fraction_of_the_largest(logits, min_p):
    share = np.exp(logits.astype(np.float64) - logits.max())
    if np.abs(share - min_p).min() > 1e-5:
        assert kept(keep_min_p(jnp.array(logits)[None], min_p)) == set(np.flatnonzero(share >= min_p).tolist())


@given(LOGITS, SHARES)
@settings(max_examples=30)
def test_a_nucleus_is_minimal(logits, top_p):
    probabilities = probabilities_of(logits)
    nucleus = sorted(kept(keep_top_p(jnp.array(logits)[None], top_p)), key=lambda k: probabilities[k])
    assert probabilities[nucleus].sum() > top_p - 1e-5 and probabilities[nucleus[1:]].sum() < top_p + 1e-5
    assert set(nucleus) == set(np.argsort(-logits)[: len(nucleus)].tolist())


@given(LOGITS, SHARES, SHARES)
@settings(max_examples=30)
def test_what_is_stricter_keeps_a_part_of_what_is_laxer(logits, one, other):
    row, low, high = jnp.array(logits)[None], min(one, other), max(one, other)
    for keep in (keep_top_p, keep_typical):
        assert kept(keep(row, low)) <= kept(keep(row, high)) <= kept(keep(row, 1.0))
    assert kept(keep_min_p(row, high)) <= kept(keep_min_p(row, low)) <= kept(keep_min_p(row, 0.0))
    for k in (1, 2, len(logits) // 2):
        assert kept(keep_top_k(row, max(1, k))) <= kept(keep_top_k(row, k + 1 if k < len(logits) else k))


@given(LOGITS)
@settings(max_examples=20)
def test_what_keeps_everything_changes_nothing(logits):
    row = jnp.array(logits)[None]
    plain = filter_logits(row, Filters(temperature=1.0))
    for nothing in ({"top_k": len(logits)}, {"top_k": 10**6}, {"top_p": 1.0}, {"min_p": 0.0}, {"typical": 1.0}):
        np.testing.assert_array_equal(filter_logits(row, Filters(temperature=1.0, **nothing)), plain)
    np.testing.assert_array_equal(keep_top_k(row, len(logits)), row)


@given(
    LOGITS, st.sampled_from([1e-30, 1e-3, 1.0, 1e6]), st.sampled_from([0, 1, 3]),
    st.tuples(*[st.sampled_from([1e-320, 1e-50, 0.5, 1.0])] * 2), st.sampled_from([0.0, 1e-320, 0.5, 1.0]),
    st.sampled_from([0.0, 0.99]), st.booleans(),
)  # fmt: skip
@settings(max_examples=40)
def test_something_always_stays(logits, temperature, top_k, shares, min_p, uniform, only_one):
    filters = Filters(temperature, top_k, *(shares[0], min_p, shares[1]))
    if only_one:  # all others are banned
        logits = np.where(np.arange(len(logits)) == 1, logits, -np.inf).astype(np.float32)
    filtered = filter_logits(jnp.array(logits)[None], filters)
    assert kept(filtered) and not np.isnan(filtered).any()
    number = int(sample_ids(jnp.float32([uniform]), jnp.array(logits)[None], filters)[0])
    assert number in kept(filtered) and (not only_one or number == 1)


@pytest.mark.parametrize("symbols", [12, 300])
@pytest.mark.parametrize(
    "changes", [{"top_k": 4}, {"top_p": 0.8}, {"min_p": 0.2}, {"typical": 0.7}], ids=lambda c: next(iter(c))
)
def test_what_is_left_comes_as_often_as_its_renormalised_probability(symbols, changes):
    logits = 2 * np.random.default_rng(1).normal(size=symbols).astype(np.float32)
    filters, count = Filters(temperature=0.9, **changes), 20_000
    left = np.asarray(filter_logits(jnp.array(logits)[None], filters)[0], np.float64)
    uniform = jax.random.uniform(jax.random.key(5), count)
    found = np.bincount(sample_ids(uniform, jnp.tile(logits, (count, 1)), filters), minlength=symbols)
    chosen = np.isfinite(left)
    expected = count * probabilities_of(logits / np.float32(0.9))
    expected = expected[chosen] * count / expected[chosen].sum()
    assert not found[~chosen].any()
    often = expected >= 5  # chi-square is one for these
    statistic = ((found[chosen] - expected)[often] ** 2 / expected[often]).sum()
    # Normal with mean n and variance 2n: above n + 4 sqrt(2n) + 8 less than once in 10,000 seeds; this one is fixed.
    degrees = often.sum()
    assert statistic < degrees + 4 * np.sqrt(2 * degrees) + 8


def test_the_lowest_temperature_is_the_most_likely_of_what_is_allowed():
    logits = jnp.array([[1.0, 5.0, 3.0, 2.0]]) + jnp.array([[0.0, -jnp.inf, 0.0, 0.0]])
    for filters in (Filters(temperature=0), Filters(temperature=1e-30), Filters(temperature=1.0, top_k=1)):
        assert int(sample_ids(jnp.float32([0.7]), logits, filters)[0]) == 2
