"""GRU and plain RNN through the whole tool: what holds for an LSTM holds for them."""

import numpy as np
import pytest

import charlstm
from charlstm.errors import ConfigError

SIZES = {
    "layers": 2, "hidden_size": 12, "embedding_size": 8, "batch_size": 4, "sequence_length": 16, "sample_every": 0,
    "precision": "float32", "dropout": 0.2, "weight_drop": 0.1,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_it_trains_resumes_samples_evaluates_completes_and_compresses(cell, text_file, tmp_path):
    whole = charlstm.train(text_file, cell=cell, run=tmp_path / "whole", steps=30, **SIZES)
    calls = iter(range(100))
    charlstm.train(
        text_file, cell=cell, run=tmp_path / "stopped", steps=30, should_stop=lambda: next(calls) > 1, **SIZES
    )
    resumed = charlstm.train(run=tmp_path / "stopped", resume=True)
    assert whole.config.model.cell == resumed.config.model.cell == cell
    text = whole.sample("The ", length=60, seed=3)
    assert resumed.sample("The ", length=60, seed=3) == text
    assert charlstm.load(tmp_path / "whole").sample("The ", length=60, seed=3) == text

    nats = [each.nats for each in whole.per_character(text_file)]
    assert whole.evaluate(text_file, exact=True).loss == pytest.approx(np.nanmean(nats), rel=1e-5)
    scored = whole.evaluate(text_file, dynamic=True)
    assert scored.loss < np.log(len(whole.vocabulary)) and "dynamic" in scored.beside

    whole.read("The salt ").save(tmp_path / "state")
    state = whole.load_state(tmp_path / "state")
    assert whole.sample(state=state, length=20, seed=1) == whole.sample("The salt ", length=20, seed=1)
    best = whole.complete("The sa", top=1)[0]
    assert best.probability <= dict(whole.next_characters("The sa", top=99))[best.text[0]] + 1e-6
    data = text_file.read_bytes()[:200]
    assert whole.decompress(whole.compress(data)) == data


@pytest.mark.slow
def test_a_run_goes_on_from_weights_of_its_own_cell_only(text_file, tmp_path):
    charlstm.train(text_file, cell="gru", run=tmp_path / "gru", steps=2, **SIZES)
    grown = charlstm.train(text_file, init_from=tmp_path / "gru", run=tmp_path / "more", steps=2, sample_every=0)
    assert grown.config.model.cell == "gru"
    with pytest.raises(ConfigError, match=r"cell is lstm, but the run to start from has gru"):
        charlstm.train(text_file, cell="lstm", init_from=tmp_path / "gru", run=tmp_path / "none", steps=2)
