"""Features of a text against slow, obvious loops."""

import unicodedata

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from charlstm.inspection.features import FEATURES, compute_features
from charlstm.text.vocabulary import BOUNDARY, Vocabulary, codepoints

PLAY = 'HAMLET:\nTo "be", (or [not]\n  to) BE.\n\nFirst Citizen:\n\tÉh! “Nay”, «oui» ) "open\n\nA Бэ בג\r\n\r\nend"'
TEXTS = st.text(st.sampled_from(' \n\n\t\r"“”()[]AbcÉэЖא:.1'), min_size=1, max_size=60)
CHARACTERS = Vocabulary.of_characters("ab")  # which ones it has matters to no feature


def features(text: str) -> dict[str, list[float]]:
    found = compute_features(codepoints(text), CHARACTERS)
    return {feature.name: found[:, number].tolist() for number, feature in enumerate(FEATURES)}


def slowly(text: str) -> dict[str, list[float]]:
    """The same, each by looking at all of the text before each character."""
    found: dict[str, list[float]] = {feature.name: [] for feature in FEATURES}
    for place, character in enumerate(text):
        so_far = text[: place + 1]
        line = so_far.split("\n")[-1]
        whole_line = (text[: place + 1 - len(line)] + text[place + 1 - len(line) :].split("\n")[0]).split("\n")[-1]
        at_end = character == "\n"
        word = ""
        while len(word) < len(so_far) and so_far[-1 - len(word)].isalpha():
            word = so_far[len(so_far) - 1 - len(word) :]
        lines = so_far.split("\n")
        since_break = 0
        for each in reversed(lines[:-1]):
            if not each.strip():
                break
            since_break += 1
        paragraph = "\n".join(lines[len(lines) - 1 - since_break :])
        straight, curly, brackets = False, 0, 0
        for each in paragraph:
            straight ^= each == '"'
            curly = max(0, curly + (each in "“«") - (each in "”»"))
            brackets = max(0, brackets + (each in "([{") - (each in ")]}"))
        ended = "".join(c if c.isalpha() else " " for c in so_far)
        ended = ended[: len(ended) - len(word)].split()
        base = unicodedata.normalize("NFD", character)[0].lower()
        is_vowel = base in "aeiouyэ"
        names = whole_line.rstrip()[:-1].split() if whole_line.rstrip().endswith(":") else []
        found["place in the line"].append(len(line))
        found["end of the line"].append(not at_end and len(whole_line) - len(line) < 5)
        found["lines"].append(0 if at_end and not lines[-2].strip() else since_break + (not at_end))
        found["indentation"].append(len(line) - len(line.lstrip()))
        found["speaker's name"].append(not at_end and 0 < len(names) < 5 and all(name[0].isupper() for name in names))
        found["quotes"].append(straight or curly > 0)
        found["brackets"].append(brackets > 0)
        found["bracket depth"].append(brackets)
        found["place in the word"].append(len(word))
        found["word before"].append(len(ended[-1]) if ended else 0)
        found["after a capital"].append(character.isupper())
        found["capital word"].append(len(word) > 1 and all(map(str.isupper, word)))
        found["vowel"].append(is_vowel)
        found["consonant"].append(character.isalpha() and not is_vowel and character != "א" and character not in "בג")
    return found


@given(TEXTS)
@example(PLAY)
@example("\n\n")
def test_features_are_what_a_slow_loop_finds(text):
    found, wanted = features(text), slowly(text)
    for name in found:
        assert found[name] == [float(value) for value in wanted[name]], name


def test_a_boundary_between_documents_is_a_line_end_that_closes_everything():
    ended, line = codepoints('ab ("c'), codepoints("de")
    found = compute_features(np.concatenate([ended, [BOUNDARY], line]).astype(np.uint32), CHARACTERS)
    apart = [compute_features(each, CHARACTERS) for each in (ended, line)]
    names = [feature.name for feature in FEATURES]
    same = [n for n, name in enumerate(names) if name not in ("word before", "end of the line")]
    np.testing.assert_array_equal(found[-2:, same], apart[1][:, same])
    assert found[6, names.index("quotes")] == found[6, names.index("brackets")] == 0 < found[5, names.index("quotes")]
    assert found[-1, names.index("word before")] == 1


def test_bytes_beyond_ascii_are_plain_letters():
    found = compute_features(np.frombuffer("Éa É".encode(), np.uint8).astype(np.uint32), Vocabulary.of_bytes())
    of = {feature.name: found[:, number].tolist() for number, feature in enumerate(FEATURES)}
    assert of["place in the word"] == [1, 2, 3, 0, 1, 2] and not any(of["after a capital"])
    assert of["vowel"] == [0, 0, 1, 0, 0, 0] and not any(of["consonant"])
