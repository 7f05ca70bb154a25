"""Copies: found as if by comparing every two places, and a loop that ends."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.sampling.repetition import ALLOWED, Copies, copies_of, discourage, follow

N = 40


def longest_copies(text: list[int]) -> dict[int, int]:
    """By definition: for each character, the longest end of `text` that occurred before and was followed by it."""
    found: dict[int, int] = {}
    for place in range(len(text) - 1):
        length = 0
        while length <= place and text[place - length] == text[len(text) - 1 - length]:
            length += 1
        found[text[place + 1]] = max(found.get(text[place + 1], 0), length)
    return found


def recent_of(*texts: list[int]) -> np.ndarray:
    return np.stack([np.concatenate([np.full(N, -1), text])[-N:] for text in texts]).astype(np.int32)


TEXTS = st.lists(st.integers(0, 2), max_size=N) | st.tuples(
    st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(1, 4)
).map(lambda both: (both[0] * both[1])[:N])


@given(st.lists(TEXTS, min_size=3, max_size=3))
@settings(max_examples=60)
def test_each_character_that_prolongs_a_copy_is_lowered_by_what_is_too_long(texts):
    V, price = 5, 0.5
    logits = np.random.default_rng(0).normal(size=(3, V)).astype(np.float32)
    found = discourage(jnp.array(logits), copies_of(recent_of(*texts)), price)
    expected = logits.copy()
    for row, text in enumerate(texts):
        for character, length in longest_copies(text).items():
            expected[row, character] -= price * max(0, length - ALLOWED)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(TEXTS, TEXTS)
@settings(max_examples=40)
def test_following_a_text_is_reading_it(beginning, rest):
    text = (beginning + rest)[:N]
    copies = copies_of(recent_of(text[: len(beginning)]))
    for character in text[len(beginning) :]:
        copies = follow(copies, jnp.array([character]))
    expected = copies_of(recent_of(text))
    np.testing.assert_array_equal(copies.recent, expected.recent)
    np.testing.assert_array_equal(copies.lengths, expected.lengths)


def test_nothing_overflows_in_an_endless_loop_over_the_largest_vocabulary():
    copies = Copies(jnp.full((1, 512), 0x10FFFE, jnp.int32), jnp.full((1, 511), 512, jnp.int32))
    copies = follow(copies, jnp.array([0x10FFFE]))
    assert int(copies.lengths.max()) <= 512
    logits = np.asarray(discourage(jnp.zeros((1, 0x110000)), copies, 1.0))
    assert logits[0, 0x10FFFE] == -(512 - ALLOWED) and np.count_nonzero(logits) == 1


@pytest.mark.parametrize("repetition", [0.0, 1.0])
def test_a_loop_ends_if_repetition_has_a_price(trained_run, repetition):
    import charlstm

    model = charlstm.load(trained_run.path)
    text = model.sample("The ", length=600, temperature=0, repetition=repetition)
    loops = any(text[-period * 5 :] == text[-period:] * 5 for period in range(1, 121))
    assert loops == (repetition == 0)
