"""Blocks of bytes as ids: the same as the obvious way gives, wherever a file is cut, and wrong bytes are located."""

import random
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from charlstm.errors import CorpusError, VocabularyError
from charlstm.text import documents, encoding, reading
from charlstm.text.ahead import in_order
from charlstm.text.corpus import open_corpus
from charlstm.text.encoding import Encoder, count
from charlstm.text.reading import AS_BYTES, Block, points_of, read_pieces
from charlstm.text.vocabulary import Vocabulary, codepoints

# Mostly ASCII, as the fast way is made for; and of every length that UTF-8 has.
SYMBOLS = st.sampled_from("abcdefgh \n\r" * 3 + "\ufeff\x7f\x80éжא€漢\ud7ff\uffff😀\U0010ffff")
TEXT = st.text(SYMBOLS, min_size=1, max_size=80)
IN_FOLDER = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def block(data: bytes, code: str = "utf-8") -> Block:
    return Block(data, code, Path("text"), 0, 0)


def fast(monkeypatch, few: int = 1) -> None:
    """Have bytes looked up however many must be decoded."""
    monkeypatch.setattr(encoding, "_FEW", few)


@given(text=TEXT, known=st.sets(SYMBOLS), few=st.sampled_from([0, 1, 8]), more=st.sampled_from([0, 300, 70_000]))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_block_is_encoded_as_its_characters_one_by_one(monkeypatch, text, known, few, more):
    fast(monkeypatch, few)
    others = (chr(0x20000 + number) for number in range(more))  # the larger the vocabulary, the longer an id
    vocabulary = Vocabulary("".join([*others, *sorted(known | {"a"})]))
    ids, characters, unknown = Encoder(vocabulary)(block(text.encode()))
    places = {symbol: number for number, symbol in enumerate(vocabulary.symbols)}
    assert ids.tolist() == [places[symbol] for symbol in text if symbol in places]
    assert ids.dtype == vocabulary.id_type and characters == len(text)
    strange = [(symbol, place) for place, symbol in enumerate(text) if symbol not in places]
    assert unknown == (strange[0] if strange else None)


@given(text=TEXT, few=st.sampled_from([0, 1, 8]))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_characters_are_counted_one_by_one(monkeypatch, text, few):
    fast(monkeypatch, few)
    for piece, expected in (
        (block(text.encode()), Counter(map(ord, text))),
        (block(text.encode(), AS_BYTES), Counter(text.encode())),
        (codepoints(text), Counter(map(ord, text))),
    ):
        counts = count(piece)
        assert {int(point): int(counts[point]) for point in np.flatnonzero(counts)} == expected


@given(data=st.binary(max_size=60), known=st.binary(min_size=1), few=st.sampled_from([0, 1, 8]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_are_symbols_whatever_they_are(monkeypatch, data, known, few):
    fast(monkeypatch, few)
    vocabulary = Vocabulary("".join(map(chr, sorted(set(known)))))
    ids, characters, _ = Encoder(vocabulary)(block(data, AS_BYTES))
    assert ids.tolist() == [sorted(set(known)).index(byte) for byte in data if byte in known]
    assert characters == len(data)


@pytest.mark.slow
@given(
    parts=st.lists(
        SYMBOLS.map(str.encode)
        | st.sampled_from([b"\xc3", b"\xa9", b"\xe2\x82", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf"]),
        max_size=40,
    ),
    size=st.sampled_from([1, 2, 3, 5, 100]),
)
@example(parts=[b"\xe2\x82", b"a", b"\xac"], size=100)  # what is left without the `a` would be a character
@example(parts=[b"a" * 40, b"\xc3", b"a", b"\xa9"], size=100)
@IN_FOLDER
def test_a_file_is_read_as_python_reads_it_or_refused_at_the_same_byte(tmp_path, monkeypatch, parts, size):
    fast(monkeypatch)
    monkeypatch.setattr(reading, "BLOCK_BYTES", size)
    monkeypatch.setattr(documents, "_SMALL", 0)  # no block is too small to be looked up as bytes
    data = b"ab" + b"".join(parts)
    path = tmp_path / "text"
    path.write_bytes(data)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = f"byte 0x{data[error.start]:02x} at offset {error.start:,}$"
        for known in (None, Vocabulary("a")):
            with pytest.raises(CorpusError, match=message):
                open_corpus([path], vocabulary=known, unknown="skip")
        return
    corpus = open_corpus([path])
    assert corpus.vocabulary.decode(corpus.ids) == text
    skipping = open_corpus([path], vocabulary=Vocabulary("ab"), unknown="skip")
    assert skipping.vocabulary.decode(skipping.ids) == "".join(symbol for symbol in text if symbol in "ab")
    assert skipping.skipped == len(text) - len(skipping.ids)


@given(text=TEXT, size=st.integers(1, 9), mark=st.booleans(), keep_mark=st.booleans())
@IN_FOLDER
def test_pieces_are_whole_characters_that_know_their_places(tmp_path, monkeypatch, text, size, mark, keep_mark):
    monkeypatch.setattr(reading, "BLOCK_BYTES", size)
    path = tmp_path / "text"
    path.write_bytes(("\ufeff" * mark + text).encode())
    expected = "\ufeff" * mark + text
    expected = expected if keep_mark else expected.removeprefix("\ufeff")
    pieces = list(read_pieces(path, "utf-8", reading.Fingerprint(), keep_mark))
    assert "".join(piece.text() for piece in pieces if isinstance(piece, Block)) == expected
    skipped = len(path.read_bytes()) - len(expected.encode())
    for number, piece in enumerate(pieces):
        assert isinstance(piece, Block)
        before = b"".join(each.data for each in pieces[:number] if isinstance(each, Block))
        assert (piece.offset, piece.seen) == (skipped + len(before), len(before.decode()))


def test_a_nul_is_refused_with_its_place_after_blocks_that_are_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 10)
    monkeypatch.setattr(documents, "_SMALL", 0)
    path = tmp_path / "text"
    path.write_bytes("é".encode() * 30 + b"\0")
    with pytest.raises(CorpusError, match="character 31 is a NUL"):
        open_corpus([path])
    path.write_bytes("é".encode() * 30 + b"\xff" + b"a" * 30 + b"\0")
    with pytest.raises(CorpusError, match="byte 0xff at offset 60"):  # the first of two that are wrong
        open_corpus([path])


def test_an_unknown_character_is_placed_through_blocks_that_are_looked_up_as_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "_SMALL", 0)
    monkeypatch.setattr(reading, "BLOCK_BYTES", 1000)
    path = tmp_path / "text"
    path.write_bytes(b"a" * 1500 + "é".encode() + b"b" * 3000 + "жz".encode())
    with pytest.raises(VocabularyError, match=r"'ж' \(U\+0436\) at character 4,502 "):
        open_corpus([path], vocabulary=Vocabulary("abé"))


def test_points_are_those_of_a_block():
    assert points_of(block("aé😀".encode())).tolist() == [0x61, 0xE9, 0x1F600]


def test_work_comes_out_in_order_and_what_came_before_a_failure_before_it():
    numbers = random.Random(0)
    delays = [numbers.random() / 500 for _ in range(50)]

    def failing():
        yield from range(50)
        raise CorpusError("the end")

    def work(item: int) -> int:
        time.sleep(delays[item])
        return item * item

    results, found = in_order(work, failing()), []
    with pytest.raises(CorpusError, match="the end"):
        for result in results:
            found.append(result)
    assert found == [item * item for item in range(50)]


@pytest.mark.parametrize("wrong", ["a strange character", "a byte that is none"])
def test_who_fails_to_read_leaves_no_thread_to_the_garbage_collector(tmp_path, monkeypatch, wrong):
    """It may come where a thread is being started, and wait there for its own threads for ever."""
    monkeypatch.setattr(reading, "BLOCK_BYTES", 16)
    path = tmp_path / "text.txt"
    strange = {"a strange character": b"\xc3\xa9", "a byte that is none": b"\xff"}[wrong]
    path.write_bytes(b"abc\n" * 100 + strange + b"abc" * 100)
    with pytest.raises((VocabularyError, CorpusError)) as caught:
        open_corpus([path], vocabulary=Vocabulary.of_characters("abc\n"))
    assert caught.tb is not None  # its frames are alive, and all that they hold
    assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]
