"""The network and experts that count, mixed: p = sum over experts of w_e p_e.

Probabilities that are mixed with weights that sum to 1 do so, too, and nothing is needed of each expert but the
probability of the character that came. The weights are a softmax of sums, one term for each set of buckets that the
character is in (how sure the network is, how often contexts were met, ...), and experts that know nothing are left out.
After characters are scored their terms move along the gradient of log p, as in exponentiated gradient (Kivinen &
Warmuth 1997) and in PAQ's mixers (Mahoney 2005):

    d log p / d z_e = w_e (p_e / p - 1)

Weights are learned on the end of the training part first, without the network, which knows that by heart.

P: characters that are predicted, M of them of the text.  E: experts.  S: sets of buckets.  B: characters of a block.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from charlstm.evaluation.experts import UNKNOWN, Experts, counting_experts
from charlstm.evaluation.predictions import Predictions
from charlstm.evaluation.tally import score_of
from charlstm.score import Score
from charlstm.text.vocabulary import Vocabulary

# Chosen on slices of the training parts of tiny Shakespeare and of Python code.
_RATE = 0.05  # 0.03 is 0.001 nats worse, 0.08 as good
_BLOCK = 32  # B: characters that are scored before weights move; one at a time would be 0.0007 nats better
_NETWORK = 2.0  # its term to begin with: e^2 times as much as any other expert
_MIN_TERM = -15.0  # below the largest: an expert that was always wrong can still be heard
_ENTROPIES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 3)
_DIFFERENCES = (-2, -1, -0.5, -0.2, -0.05, 0.05, 0.2, 0.5, 1, 2)


class Block(NamedTuple):
    """`weights` `[B, E]` of experts for some characters, before any of these was read, and what they come to: `[B]`."""

    weights: np.ndarray
    mixed: np.ndarray


def mixture(
    network: Predictions, training_ids: np.ndarray, ids: np.ndarray, vocabulary: Vocabulary, adaptive: bool
) -> Score:
    """The score of the `network` and experts that count, mixed, for every character of `ids` `[M]` but the first.

    They count `training_ids` and, if `adaptive`, go on counting while they read; weights go on learning in both cases.
    Of long texts as much is read and scored as `baselines` does.
    """
    nats = mixed_nats(counting_experts(training_ids, ids, vocabulary, adaptive), network)
    return score_of(nats, vocabulary.byte_lengths[ids[1 : 1 + len(nats)]])


def mixed_nats(experts: Experts, network: Predictions) -> np.ndarray:
    """What each character of the text costs the experts and the network together, float64."""
    blocks = [block.mixed for block in mix(with_network(experts, network))]
    return -np.log(np.concatenate([*blocks, np.zeros(0)])[experts.warm_up :])


def with_network(experts: Experts, network: Predictions) -> Experts:
    """The experts, and the network as the last of them, which knows the text alone.

    Two more sets of buckets: how sure the network is, and how much better or worse than n-grams it was just now.
    """
    P, warm_up = len(experts.probabilities), experts.warm_up
    nats, entropies = (each[: P - warm_up] for each in network)
    p, buckets = np.full((P, 1), UNKNOWN, np.float32), np.zeros((P, 2), np.uint16)  # 0 as long as it knows nothing
    p[warm_up:, 0] = np.exp(-nats)
    buckets[warm_up:, 0] = 1 + np.digitize(entropies, _ENTROPIES)
    difference = nats + np.log(experts.probabilities[warm_up:, experts.n_gram])
    buckets[warm_up + 1 :, 1] = 1 + np.digitize(difference[:-1], _DIFFERENCES)
    return experts._replace(
        probabilities=np.concatenate([experts.probabilities, p], 1),
        buckets=np.concatenate([experts.buckets, buckets], 1),
        sizes=(*experts.sizes, len(_ENTROPIES) + 2, len(_DIFFERENCES) + 2),
    )


def mix(experts: Experts) -> Iterator[Block]:
    """The mixture of all experts, the last of them the network, block of characters by block."""
    E, offsets = experts.probabilities.shape[1], np.cumsum([0, *experts.sizes])
    start = np.zeros(E, np.float32)
    start[-1] = _NETWORK
    terms = np.tile(start / len(experts.sizes), (offsets[-1], 1))
    for first in range(0, len(experts.probabilities), _BLOCK):
        p = experts.probabilities[first : first + _BLOCK]
        at = experts.buckets[first : first + _BLOCK] + offsets[:-1]
        z = np.where(p == UNKNOWN, -np.inf, terms[at].sum(1))
        z -= z.max(1, keepdims=True)
        weights = np.where(p == UNKNOWN, 0, np.exp(np.maximum(z, _MIN_TERM)))
        weights /= weights.sum(1, keepdims=True)
        shares = weights * p
        mixed = shares.sum(1, keepdims=True, dtype=np.float64)
        yield Block(weights, mixed[:, 0])
        step = _RATE * (shares / mixed - weights)
        places = at[:, :, None] * E + np.arange(E)
        moves = np.broadcast_to(step[:, None], places.shape).astype(np.float32)
        np.add.at(terms.reshape(-1), places.reshape(-1), moves.reshape(-1))
