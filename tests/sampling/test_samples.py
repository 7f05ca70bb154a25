"""Samples: what each is does not depend on how many there are."""

import jax
import numpy as np
import pytest

from charlstm.config import ModelConfig
from charlstm.model.parameters import initial_parameters
from charlstm.options import SampleOptions, SamplesOptions
from charlstm.runs.weights import Weights
from charlstm.sampling.samples import Sample, grow_samples, stream_sample
from charlstm.text.vocabulary import Vocabulary

pytestmark = pytest.mark.optimized

SHAPE = ModelConfig(vocabulary_size=27, layers=1, hidden_size=384, embedding_size=16, dropout=0.0)


@pytest.fixture(scope="module")
def weights(weights_of) -> Weights:
    """A model that is large enough for sums to be rounded in several ways, and predicts something."""
    numbers = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: leaf + 0.1 * numbers.standard_normal(leaf.shape, np.float32), initial_parameters(SHAPE, 0)
    )
    return weights_of(SHAPE, Vocabulary.of_characters("\nabcdefghijklmnopqrstuvwxyz"), params)


def sampled(weights: Weights, count: int) -> list[Sample]:
    groups = grow_samples(weights, SamplesOptions(prompt="abc", length=160, seed=3, count=count))
    return [sample for group in groups for sample in list(group)[-1]]


def test_samples_are_the_same_bit_for_bit_whatever_their_number(weights):
    three, many = sampled(weights, 3), sampled(weights, 65)
    assert len(many) == 65 and len({sample.text for sample in many}) == 65
    for one, other in zip(three, many, strict=False):
        assert one.text == other.text and one.log_probabilities == other.log_probabilities
    last = SamplesOptions(prompt="abc", length=160, seed=3 + 64, count=2)  # it was alone in its group
    (again, _), *_ = (list(group)[-1] for group in grow_samples(weights, last))
    assert again.text == many[-1].text and again.log_probabilities == many[-1].log_probabilities


def test_a_stream_is_that_sample(weights):
    text = "".join(stream_sample(weights, SampleOptions(prompt="abc", length=160, seed=3)))
    assert len(text) == 160 and text == sampled(weights, 2)[0].text == sampled(weights, 1)[0].text
