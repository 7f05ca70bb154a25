"""Reading text: exactly, in any amount, and never a stale copy."""

import codecs
import itertools
import json
import os
import subprocess
import sys
from encodings.aliases import aliases
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from charlstm.config import CorpusConfig
from charlstm.errors import CharLSTMError, ConfigError, CorpusError, RunError, VocabularyError
from charlstm.files import cache_folder
from charlstm.runs.texts import reopen
from charlstm.text import corpus as corpora
from charlstm.text import passes, reading, store
from charlstm.text.corpus import open_corpus, read_prompt_file
from charlstm.text.documents import Documents
from charlstm.text.reading import fingerprint_of
from charlstm.text.sources import locate
from charlstm.text.vocabulary import Vocabulary

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=2, max_size=60)
USES_FOLDER = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def text_of(corpus: corpora.Corpus) -> str:
    return corpus.vocabulary.decode(np.asarray(corpus.ids))


def config_of(path: Path, corpus: corpora.Corpus) -> CorpusConfig:
    return CorpusConfig(
        sources=[str(path)],
        unit=corpus.vocabulary.unit,
        encoding="utf-8",
        fingerprint=corpus.fingerprint,
        characters=len(corpus),
    )


@pytest.fixture
def cache(monkeypatch, tmp_path_factory) -> Path:
    """The folder of ids in a cache of the test's own."""
    monkeypatch.setenv("CHARLSTM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    return cache_folder("ids")


@given(text=TEXT, block=st.integers(1, 9))
@USES_FOLDER
def test_a_text_is_kept_exactly_however_it_is_cut_into_blocks(tmp_path, monkeypatch, text, block):
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    corpus = open_corpus([written(tmp_path / "text.txt", text)])
    assert text_of(corpus) == text
    assert corpus.vocabulary.symbols == "".join(sorted(set(text)))


def test_line_ends_stay(tmp_path):
    text = "one\r\ntwo\rthree\n"
    path = written(tmp_path / "ends.txt", text)
    assert text_of(open_corpus([path])) == text == read_prompt_file(path, keep_newline=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "gb18030"])
@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_a_byte_order_mark_at_the_start_of_a_file_is_no_text(tmp_path, monkeypatch, encoding, block):
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    mark = "" if encoding in ("utf-16", "utf-32") else "\ufeff"  # these two write their own
    paths = [written(tmp_path / name, f"{mark}{name} \ufeff", encoding) for name in ("one", "two")]
    assert text_of(open_corpus(paths, encoding=encoding)) == "one \ufefftwo \ufeff"
    kept = open_corpus(paths, encoding=encoding, keep_mark=True)
    assert text_of(kept) == f"{mark}one \ufeff{mark}two \ufeff"
    assert text_of(open_corpus(paths, encoding=encoding)) == "one \ufefftwo \ufeff", "two sets of ids"


def test_a_mark_is_dropped_from_a_prompt_and_kept_among_bytes(tmp_path):
    path = written(tmp_path / "text", "\ufeffone")
    assert read_prompt_file(path) == "one"
    assert read_prompt_file(path, "byte").encode("latin-1") == path.read_bytes()
    assert bytes(open_corpus([path], unit="byte").ids) == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "prompt"),
    [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a\r", "a\r"), ("\n", ""), ("", ""), ("\r\n", "")],
)
def test_one_line_end_at_the_end_of_a_prompt_is_the_editors(tmp_path, content, prompt):
    path = written(tmp_path / "prompt", content)
    assert read_prompt_file(path) == prompt
    assert read_prompt_file(path, keep_newline=True) == content == read_prompt_file(path, "byte")


def test_several_files_are_one_text_in_the_order_that_was_given(tmp_path):
    first, second = (written(tmp_path / name, name * 3) for name in ("b", "a"))
    assert text_of(open_corpus([first, second])) == "bbbaaa"
    assert text_of(open_corpus([second, first])) == "aaabbb"


def test_the_same_text_cut_into_other_files_is_another_corpus(tmp_path):
    whole = [written(tmp_path / "whole", "abcd")]
    halves = [written(tmp_path / "one", "ab"), written(tmp_path / "two", "cd")]
    assert open_corpus(whole).fingerprint != open_corpus(halves).fingerprint


@pytest.mark.parametrize(
    ("known", "message"), [("xyz", "holds no known character"), ("axyz", "a single known character")]
)
def test_a_text_without_two_known_characters_says_so(tmp_path, known, message):
    with pytest.raises(CorpusError, match=message):
        open_corpus([written(tmp_path / "text", "abc")], vocabulary=Vocabulary.of_characters(known), unknown="skip")


@pytest.mark.parametrize(("size", "kind"), [(200, np.uint8), (256, np.uint8), (257, np.uint16)])
def test_ids_take_as_few_bytes_as_they_can(tmp_path, size, kind):
    text = "".join(map(chr, range(0x100, 0x100 + size)))
    corpus = open_corpus([written(tmp_path / "wide.txt", text)])
    assert corpus.ids.dtype == kind and isinstance(corpus.ids, np.memmap)


def test_bytes_are_read_as_they_are(tmp_path):
    path = tmp_path / "any"
    path.write_bytes(bytes(range(256)))
    corpus = open_corpus([path], unit="byte")
    assert list(corpus.ids) == list(range(256)) and len(corpus.vocabulary) == 256


def test_another_encoding_can_be_named(tmp_path):
    assert text_of(open_corpus([written(tmp_path / "old.txt", "Größe", "latin-1")], encoding="latin-1")) == "Größe"
    path = written(tmp_path / "same", "é")
    assert text_of(open_corpus([path], encoding="latin-1")) == "Ã©"
    with pytest.raises(CorpusError, match="holds a single character"):
        open_corpus([path])
    with pytest.raises(ConfigError, match="klingon"):
        open_corpus([tmp_path / "old.txt"], encoding="klingon")


@pytest.mark.parametrize("encoding", ["base64", "rot13", "zlib", "punycode", "idna", "undefined"])
def test_a_codec_that_makes_no_text_is_no_encoding(tmp_path, encoding):
    with pytest.raises(ConfigError, match=encoding):
        open_corpus([written(tmp_path / "text.txt", "text")], encoding=encoding)


def test_an_edited_file_is_read_anew_and_an_old_one_is_not(tmp_path, monkeypatch):
    path = written(tmp_path / "text.txt", "before")
    open_corpus([path])
    assert text_of(open_corpus([written(path, "after!")])) == "after!"
    monkeypatch.setattr(passes, "Encoder", None)  # would fail if it were called
    assert text_of(open_corpus([written(path, "before")])) == "before"


def test_a_second_reading_makes_no_ids_and_a_damaged_cache_does(tmp_path, monkeypatch, cache):
    path = written(tmp_path / "text.txt", "kept " * 20)
    open_corpus([path])
    with monkeypatch.context() as patched:
        patched.setattr(passes, "Encoder", None)  # would fail if it were called
        assert text_of(open_corpus([path])) == "kept " * 20
    for damage in (b"", b"\0" * 100, b"\xff" * 100, b"[]", b"{}", b"[" * 100_000, b'{"vocabulary": 3}'):
        for suffix in (".ids", ".json"):
            (part,) = cache.glob(f"*{suffix}")
            part.write_bytes(damage)
            assert text_of(open_corpus([path])) == "kept " * 20


@pytest.mark.slow
def test_no_damage_of_the_cache_changes_a_text(tmp_path, monkeypatch, cache):
    path = written(tmp_path / "text.txt", "kept " * 20)
    open_corpus([path])
    (facts_path,) = cache.glob("*.json")
    facts = json.loads(facts_path.read_text("utf-8"))
    for name, value in facts.items():
        for wrong in (None, "x", -1, 1.5, [], {}, True, str(value)[::-1], [[[]]]):
            if wrong != value:
                facts_path.write_text(json.dumps(facts | {name: wrong}), "utf-8")
                corpus = open_corpus([path])
                assert text_of(corpus) == "kept " * 20 and corpus.skipped == 0, (name, wrong)
    (ids_path,) = cache.glob("*.ids")
    ids = ids_path.read_bytes()
    for place in range(len(ids)):
        ids_path.write_bytes(ids[:place] + bytes([ids[place] ^ 1]) + ids[place + 1 :])
        assert text_of(open_corpus([path])) == "kept " * 20


def test_what_is_kept_under_one_vocabulary_is_not_taken_for_another(tmp_path):
    path = written(tmp_path / "text.txt", "abcab")
    for known in (Vocabulary("abc"), Vocabulary("abc", rare=2), Vocabulary("acb")):
        corpus = open_corpus([path], vocabulary=known)
        assert corpus.vocabulary == known and text_of(corpus) == "abcab"


def test_ids_that_nothing_has_used_for_a_month_are_forgotten(tmp_path, monkeypatch, cache):
    old, used = written(tmp_path / "old", "old text"), written(tmp_path / "used", "used text")
    for path in (old, used):
        open_corpus([path])
    for part in cache.iterdir():
        os.utime(part, (part.stat().st_mtime - 29 * 86_400,) * 2)
    with monkeypatch.context() as patched:
        patched.setattr(passes, "Encoder", None)  # would fail if it were called
        open_corpus([used])  # counts as use
        for part in cache.iterdir():
            os.utime(part, (part.stat().st_mtime - 2 * 86_400,) * 2)
        open_corpus([used])
    assert len(list(cache.iterdir())) == 2
    assert text_of(open_corpus([old])) == "old text"


def test_one_text_under_two_vocabularies_has_two_sets_of_ids(tmp_path):
    path = written(tmp_path / "text.txt", "abba")
    for symbols, ids in (("ab", [0, 1, 1, 0]), ("ba", [1, 0, 0, 1]), ("xyba", [3, 2, 2, 3])):
        corpus = open_corpus([path], vocabulary=Vocabulary(symbols))
        assert list(corpus.ids) == ids and corpus.vocabulary.symbols == symbols


@pytest.mark.parametrize("when", [1, 2], ids=["before its characters are counted", "before it is encoded"])
@pytest.mark.parametrize("swapped", ["one line\nand one more\n", "one time\n", "ONE LINE\n"])
@pytest.mark.parametrize("comes_back", [False, True])
def test_a_file_that_changes_while_it_is_read_is_refused_and_not_kept(
    tmp_path, monkeypatch, cache, when, swapped, comes_back
):
    path = written(tmp_path / "log.txt", "one line\n")
    read, passes = Documents.read, itertools.count(1)

    def read_while_another_writes(*arguments):
        if next(passes) == when:
            written(path, swapped)
        yield from read(*arguments)
        if comes_back:
            written(path, "one line\n")

    with monkeypatch.context() as patched, pytest.raises(CorpusError, match="changed while it was being read"):
        patched.setattr(Documents, "read", read_while_another_writes)
        open_corpus([path])
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-be", "utf-7", "shift_jis", "gb18030", "iso2022_jp"])
def test_a_character_of_any_encoding_is_never_torn(tmp_path, monkeypatch, encoding):
    text = "かな and 漢字\r\n" * 3
    path = written(tmp_path / "text.txt", text, encoding)
    for block in range(1, 8):
        monkeypatch.setattr(reading, "BLOCK_BYTES", block)
        assert "".join(reading.characters(path, encoding)) == text


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5, 100])
def test_a_file_cut_off_within_a_character_is_an_error_at_that_character(tmp_path, monkeypatch, block):
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    path = tmp_path / "cut.txt"
    path.write_bytes("three €".encode()[:-1])
    with pytest.raises(CorpusError, match=r"byte 0xe2 at offset 6$"):
        open_corpus([path])


@pytest.mark.parametrize("before", [0, 3, 4, 5, 50, 53])  # with 7 bytes in a block some are torn
def test_a_wrong_encoding_is_an_error_with_the_offset_of_the_byte(tmp_path, monkeypatch, before):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 7)
    path = tmp_path / "bad.txt"
    path.write_bytes("é".encode() * before + b"\xff tail")
    with pytest.raises(CorpusError, match=f"byte 0xff at offset {2 * before:,}$"):
        open_corpus([path])


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"a", "holds a single character"), (b"abc\0d", "character 4 is a NUL")]
)
def test_what_is_no_text_is_refused(tmp_path, content, message):
    path = tmp_path / "no.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        open_corpus([path])


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(CorpusError, match="no file, folder or named corpus 'nowhere'"):
        locate(["nowhere"])
    with pytest.raises(CorpusError, match="holds no text files"):
        locate([str(tmp_path)])
    with pytest.raises(CorpusError, match=r"no file .*gone\.txt"):
        open_corpus([tmp_path / "gone.txt"])


def test_a_nul_far_into_a_file_is_named_with_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 4)
    with pytest.raises(CorpusError, match="character 11 is a NUL"):
        open_corpus([written(tmp_path / "no.txt", "é" * 10 + "\0")])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unreadable to root")
def test_an_unreadable_file_is_an_error(tmp_path):
    path = written(tmp_path / "secret.txt", "text")
    path.chmod(0)
    with pytest.raises(CorpusError, match="cannot read"):
        open_corpus([path])


def test_an_unknown_character_is_named_with_its_place_or_skipped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 4)
    path = written(tmp_path / "strange.txt", "abcabcжabж")
    known = Vocabulary.of_characters("abc")
    with pytest.raises(VocabularyError, match=r"'ж' \(U\+0436\) at character 7 "):
        open_corpus([path], vocabulary=known)
    corpus = open_corpus([path], vocabulary=known, unknown="skip")
    assert text_of(corpus) == "abcabcab" and corpus.skipped == 2
    with pytest.raises(VocabularyError):  # what was skipped once is no leave to skip it again
        open_corpus([path], vocabulary=known)
    with pytest.raises(CorpusError):  # nothing is left
        open_corpus([path], vocabulary=Vocabulary("xyz"), unknown="skip")


def test_places_are_counted_through_all_files(tmp_path):
    paths = [written(tmp_path / "a", "abc"), written(tmp_path / "b", "abж")]
    with pytest.raises(VocabularyError, match="at character 6 "):
        open_corpus(paths, vocabulary=Vocabulary("abc"))


def test_a_run_notices_that_its_text_has_changed(tmp_path):
    path = written(tmp_path / "text.txt", "the text")
    corpus = open_corpus([path])
    config = config_of(path, corpus)
    assert text_of(reopen(config, corpus.vocabulary)[0]) == "the text"
    for changed in ("text the", "the text and more", "новый"):
        written(path, changed)
        with pytest.raises((RunError, CorpusError)):
            reopen(config, corpus.vocabulary)
    written(path, "the test")
    with pytest.raises(RunError, match=r"text\.txt is not the text that the run was trained on"):
        reopen(config, corpus.vocabulary)
    path.unlink()
    with pytest.raises(CorpusError, match="there is no file"):
        reopen(config, corpus.vocabulary)


def test_a_run_of_an_earlier_version_finds_its_text_though_it_counted_a_byte_order_mark(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffthe text".encode())
    corpus = open_corpus([path], keep_mark=True)
    again, _ = reopen(config_of(path, corpus), corpus.vocabulary)
    assert text_of(again) == "\ufeffthe text"
    config = config_of(path, open_corpus([path]))
    assert text_of(reopen(config, open_corpus([path]).vocabulary)[0]) == "the text"


@given(st.integers(2, 500), st.floats(0, 0.999))
@example(10, 0.1)
@settings(max_examples=60)
def test_the_split_is_a_cut_from_the_end(length, validation):
    ids = np.arange(length, dtype=np.uint16)
    training, held_out = corpora.Corpus(ids, Vocabulary("ab"), "").split(validation)
    assert len(training) >= 2 and len(held_out) != 1
    assert np.shares_memory(training, ids)
    if len(held_out):
        np.testing.assert_array_equal(np.concatenate([training, held_out]), ids)
        assert len(held_out) <= validation * length + 1
    else:
        assert len(training) == length


LINES = {
    "one script": "All work and no play makes Jack a dull boy.\n",
    "many": "Работа, работа. 只工作不玩耍, und nichts als Arbeit für Jacques 😀\n",
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux counts it")
@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_file_larger_than_the_memory_allowed_is_read(tmp_path, line):
    path = tmp_path / "large.txt"
    mebibyte = (line * 23_832).encode()
    with path.open("wb") as file:
        for _ in range(300 * 2**20 // len(mebibyte)):
            file.write(mebibyte)
    # The peak of this program: that of `getrusage` begins with what the parent held when it started it.
    program = (
        "import sys\nfrom pathlib import Path\nfrom charlstm.text.corpus import open_corpus\n"
        "corpus = open_corpus([Path(sys.argv[1])])\n"
        "status = Path('/proc/self/status').read_text('utf-8')\n"
        "print(len(corpus), int(status.split('VmHWM:')[1].split()[0]) // 1024)"
    )
    command = [sys.executable, "-c", program, str(path)]
    length, mebibytes = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert length == path.stat().st_size // len(line.encode()) * len(line)
    assert mebibytes < 150, f"{mebibytes} MiB for a file of 300 MiB"


@pytest.mark.parametrize("known", [None, Vocabulary("ab\n")])
@pytest.mark.parametrize("after", [1, 3, 5])
def test_what_was_interrupted_leaves_nothing_and_is_begun_anew(tmp_path, monkeypatch, cache, known, after):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 1000)
    path = written(tmp_path / "text.txt", "abba\n" * 600)
    told = list[tuple[str, int, int]]()

    def on_progress(*progress) -> None:
        told.append(progress)
        if len(told) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for _ in range(2):
            open_corpus([path], vocabulary=known, on_progress=on_progress)
            for each in cache.iterdir():
                each.unlink()
    assert list(cache.iterdir()) == []
    passes = {"reading the text"} if known else {"reading the text", "encoding the text"}
    assert {what for what, *_ in told} <= passes
    assert [(done, total) for _, done, total in told] == [(1000 * (n % 3 + 1), 3000) for n in range(after)]
    assert text_of(open_corpus([path], vocabulary=known)) == "abba\n" * 600


def test_what_takes_long_to_read_is_read_once_where_the_vocabulary_is_known(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(store, "_MUCH", 10)
    monkeypatch.setattr(store, "_MARGIN", -(10**12))  # as if the clock had moved on since
    path, reads = written(tmp_path / "text.txt", "abba\n" * 9), list[Path]()
    blocks = reading.Fingerprint.blocks

    def counted(self, path):
        reads.append(path)
        return blocks(self, path)

    monkeypatch.setattr(reading.Fingerprint, "blocks", counted)
    known = Vocabulary("\nab")
    first = open_corpus([path], vocabulary=known)
    assert len(reads) == 1
    assert first.fingerprint == open_corpus([path], vocabulary=known).fingerprint == fingerprint_of([path])
    assert len(reads) == 2, "the second time only `fingerprint_of` has read it"
    assert text_of(open_corpus([path])) == "abba\n" * 9
    assert len(reads) == 4, "one pass to count, and one to encode"
    written(path, "baab\n" * 9)
    assert text_of(open_corpus([path], vocabulary=known)) == "baab\n" * 9


def test_sizes_and_times_are_relied_upon_only_once_they_are_old(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(store, "_MUCH", 10)
    path = written(tmp_path / "text.txt", "abba\n" * 9)
    open_corpus([path])
    before = path.stat()
    path.write_text("baab\n" * 9, "utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert text_of(open_corpus([path])) == "baab\n" * 9
    for damaged in (b"", b"x", b"0" * 64 + b" " + b"0" * 64):
        for each in cache_folder("seen").iterdir():
            each.write_bytes(damaged)
        assert text_of(open_corpus([path])) == "baab\n" * 9


def test_what_a_writer_that_was_killed_has_left_is_removed(tmp_path, cache):
    left, fresh = cache / ".4711-1.tmp", cache / ".4712-1.tmp"
    for each in (left, fresh):
        each.write_bytes(b"ids")
    os.utime(left, (left.stat().st_mtime - 7200,) * 2)
    open_corpus([written(tmp_path / "text.txt", "text")])
    assert fresh.exists() and not left.exists()


def is_encoding(name: str) -> bool:
    """Whether it is one on this system."""
    try:
        reading.text_encoding(name)
    except ConfigError:
        return False
    return True


ENCODINGS = ["utf-8", *filter(is_encoding, sorted(set(aliases.values()) - {"unicode_escape"}))]  # that one warns


@pytest.mark.slow
@given(data=st.binary(max_size=80), encoding=st.sampled_from(ENCODINGS), block=st.sampled_from([1, 3, 1 << 22]))
@example(data=b"a", encoding="utf-8", block=1)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_corpus_or_an_error_of_ours(tmp_path, monkeypatch, data, encoding, block):
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    path = tmp_path / "any"
    path.write_bytes(data)
    for unit in ("character", "byte"):
        try:
            corpus = open_corpus([path], unit, encoding)
        except CharLSTMError:
            continue
        text = text_of(corpus)
        assert (corpus.vocabulary.encode(text) == corpus.ids).all()
        assert unit == "character" or text.encode("latin-1") == data
    try:
        assert read_prompt_file(path, keep_newline=True).encode() == data.removeprefix(codecs.BOM_UTF8)
    except CorpusError:
        with pytest.raises(UnicodeDecodeError):
            data.decode()


def test_every_character_that_there_is_goes_there_and_back(tmp_path):
    points = [point for point in range(1, 0x110000) if not 0xD800 <= point < 0xE000]
    text = "".join(map(chr, points))
    assert text_of(open_corpus([written(tmp_path / "all", text)])) == text
