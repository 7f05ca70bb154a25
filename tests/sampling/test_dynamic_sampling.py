"""Sampling with weights that have learned from the prompt: what they learn, and what must not change."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from charlstm.errors import ConfigError, CorpusError
from charlstm.evaluation.dynamic import Adapter
from charlstm.language_model import LanguageModel, load
from charlstm.runs.folder import Run
from charlstm.runs.texts import own_text
from charlstm.sampling.prompt import read_text

PROMPT = "and who goes home comes out to sea,\n" * 12
OPTIONS = {"length": 40, "seed": 3}


@pytest.fixture(scope="module")
def model(trained_run: Run, text_file: Path) -> LanguageModel:
    """It knows where its text is."""
    weights = load(trained_run.path).weights
    corpus = dataclasses.replace(weights.config.corpus, sources=[str(text_file)])
    return LanguageModel(
        dataclasses.replace(weights, run=None, config=dataclasses.replace(weights.config, corpus=corpus))
    )


@pytest.fixture(scope="module")
def learned(model) -> LanguageModel:
    """The model after the prompt, by hand."""
    training_ids, _ = own_text(model.weights)[0].split(model.config.training.validation)
    adapter, rule = Adapter.measured(model.weights, training_ids).tuned(training_ids)
    return LanguageModel(adapter.learn(model.vocabulary.encode(PROMPT), rule))


def test_it_is_the_sample_of_a_model_that_has_learned_from_the_prompt(model, learned):
    expected = learned.sample(PROMPT, **OPTIONS)
    assert model.sample(PROMPT, **OPTIONS, dynamic=True) == expected
    assert "".join(model.stream(PROMPT, **OPTIONS, dynamic=True)) == expected


def test_the_prompt_s_own_continuation_gets_likelier(model, learned):
    """The prompt says its line once more, which static weights do not expect."""

    def nats(of: LanguageModel) -> float:
        ids, total, after = of.vocabulary.encode("and who goes home comes out"), 0.0, read_text(of.weights, PROMPT)
        for number, each in enumerate(ids):
            logits = np.asarray(after.logits[0], float)
            total += np.log(np.exp(logits - logits[each]).sum())
            after = read_text(of.weights, of.vocabulary.decode(ids[number : number + 1]), after)
        return total

    assert nats(learned) < 0.9 * nats(model)


def test_the_saved_weights_stay_and_nothing_is_kept_from_prompt_to_prompt(model):
    before = jax.tree.map(np.array, model.weights.params)
    static = model.sample(PROMPT, **OPTIONS)
    first = model.sample(PROMPT, **OPTIONS, dynamic=True)
    model.sample("The salt road", **OPTIONS, dynamic=True)
    assert model.sample(PROMPT, **OPTIONS, dynamic=True) == first
    assert model.sample(PROMPT, **OPTIONS) == static
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(model.weights.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_prompts_and_counts_are_learned_from_one_by_one(model):
    prompts = [PROMPT, "The salt road"]
    together = model.samples(prompts=prompts, count=2, length=30, seed=5, dynamic=True, only="lower,' '", min_p=0.05)
    assert [sample.prompt for sample in together] == [PROMPT, PROMPT, prompts[1], prompts[1]]
    assert [sample.seed for sample in together] == [5, 6, 7, 8]
    for number, prompt in enumerate(prompts):
        alone = model.samples(
            prompt, count=2, length=30, seed=5 + 2 * number, dynamic=True, only="lower,' '", min_p=0.05
        )
        assert [sample.text for sample in alone] == [sample.text for sample in together[2 * number :][:2]]
        assert all(set(sample.text) <= set("abcdefghijklmnopqrstuvwxyz ") for sample in alone)


def test_groups_never_mix_prompts(model, monkeypatch):
    """Where a device takes two samples at a time, three of each prompt are sampled as 2 + 1."""
    expected = model.samples(prompts=["sea", PROMPT], count=3, length=20, seed=1, dynamic=True)
    monkeypatch.setattr("charlstm.sampling.samples.MAX_STREAMS", 2)
    sizes = [len(list(group)[-1]) for group in model.growing_samples(
        prompts=["sea", PROMPT], count=3, length=20, seed=1, dynamic=True
    )]  # fmt: skip
    assert sizes == [2, 1, 2, 1]
    found = model.samples(prompts=["sea", PROMPT], count=3, length=20, seed=1, dynamic=True)
    assert [each.text for each in found] == [each.text for each in expected]


def test_what_cannot_go_together_is_refused(model):
    with pytest.raises(ConfigError, match="learns from a prompt, and none is given"):
        model.sample("", dynamic=True)
    with pytest.raises(ConfigError, match="keeps only what the saved weights made of it"):
        model.sample("on", state=model.read("The salt"), dynamic=True)
    with pytest.raises(ConfigError, match="is not for a text that is written in turns"):
        model.session(dynamic=True)


def test_a_text_that_is_gone_is_said_to_be(trained_run, model, text_file):
    elsewhere = load(trained_run.path)  # its run names a text that is not there
    with pytest.raises(CorpusError, match=r"verse\.txt"):
        elsewhere.sample(PROMPT, dynamic=True)
    found = elsewhere.sample(PROMPT, **OPTIONS, dynamic=True, own_text=text_file)
    assert found == model.sample(PROMPT, **OPTIONS, dynamic=True)
