"""A score for each file: that of the file alone, however many there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charlstm
from charlstm.evaluation import files
from charlstm.evaluation.files import _parts, _shared


@given(st.lists(st.integers(2, 30_000), min_size=1, max_size=20), st.booleans())
def test_every_character_but_the_first_of_each_text_counts_exactly_once(lengths, exact):
    counted = np.zeros(sum(lengths), int)
    for number, start, warm_up, length in _parts(lengths, exact).tolist():
        own = slice(sum(lengths[:number]), sum(lengths[: number + 1]))
        assert own.start <= start and start + length < own.stop and warm_up in (0, min(512, start - own.start + 512))
        counted[start + warm_up + 1 : start + length + 1] += 1
        assert (start == own.start) == (warm_up == 0) or warm_up == 512
    edges = np.cumsum([0, *lengths[:-1]])
    assert (counted[edges] == 0).all() and (np.delete(counted, edges) == 1).all()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 8))
def test_streams_read_every_part_from_its_first_block_to_its_last(sizes, streams):
    parts, blocks = _shared(np.array(sizes), streams)
    read = [(part, block) for part, block in zip(parts.T.ravel(), blocks.T.ravel(), strict=True) if part >= 0]
    order = dict.fromkeys(part for part, _ in read)
    assert read == [(part, block) for part in order for block in range(sizes[part])]
    assert len(read) == sum(sizes)
    assert len(parts) <= sum(sizes) / streams + max(sizes)


@pytest.fixture
def folder(tmp_path, corpus):
    """A folder of texts of many lengths that the trained run knows."""
    text = corpus.vocabulary.decode(corpus.ids) * 20
    for number, length in enumerate((2, 3, 127, 128, 129, 130, 700, 1500, 9000, 64, 5)):
        (tmp_path / f"{number}.txt").write_bytes(text[number * 7 :][:length].encode())
    return tmp_path


@pytest.mark.parametrize("at_once", [2**22, 200])
def test_each_file_has_the_score_that_it_has_alone(trained_run, folder, monkeypatch, at_once):
    monkeypatch.setattr(files, "_AT_ONCE", at_once)
    monkeypatch.setattr(files, "_STREAMS", 2)  # so that each reads several files
    model = charlstm.load(trained_run.path)
    found = model.evaluate_files(folder, exact=True)
    assert len(found.scores) == 11 and not found.refused
    assert [each.loss for each in found.scores] == sorted(each.loss for each in found.scores)
    for each in found.scores if at_once > 200 else found.scores[:2]:
        alone = model.evaluate(each.text, exact=True)
        assert each.loss == pytest.approx(alone.loss, rel=1e-4)
        assert (each.characters, each.utf8_bytes, each.skipped) == (alone.characters, alone.utf8_bytes, 0)


def test_parts_of_a_long_file_agree_with_one_reader(trained_run, folder):
    model = charlstm.load(trained_run.path)
    parts, whole = (
        {each.text: (each.loss, each.characters) for each in model.evaluate_files(folder, exact=exact).scores}
        for exact in (False, True)
    )
    assert parts != whole
    for name, (loss, characters) in whole.items():
        assert parts[name] == (pytest.approx(loss, abs=5e-4), characters)


def test_a_file_that_cannot_be_read_does_not_spoil_the_others(trained_run, folder, monkeypatch):
    model = charlstm.load(trained_run.path)
    (folder / "binary").write_bytes(b"a\0b")
    (folder / "strange").write_text("the жalt", "utf-8")
    (folder / "latin").write_bytes(b"th\xe9 salt")
    (folder / "empty").write_bytes(b"")
    names = [str(folder / name) for name in ("binary", "strange", "latin", "empty", "nowhere", "6.txt")]
    found = model.evaluate_files(names)
    assert ([each.text for each in found.scores] == [names[-1]] and list(found.refused) == ["nowhere", *names[:4]]) or (
        set(found.refused) == set(names[:5])
    )
    skipping = model.evaluate_files(names, unknown="skip")
    assert {each.text: each.skipped for each in skipping.scores} == {names[1]: 1, names[-1]: 0}
    with pytest.raises(charlstm.CharLSTMError, match="encoding"):
        model.evaluate_files(names, encoding="no-such")


def test_a_large_file_is_mapped(trained_run, folder, monkeypatch):
    model = charlstm.load(trained_run.path)
    name = folder / "8.txt"
    expected = model.evaluate_files(name).scores
    monkeypatch.setattr(files, "_LARGE", 1000)
    monkeypatch.setattr(files, "encode_file", None)
    assert model.evaluate_files(name).scores == expected
