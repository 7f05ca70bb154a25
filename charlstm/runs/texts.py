"""The texts that runs read: those that a user names, and those that a run remembers."""

from collections.abc import Sequence
from pathlib import Path

from charlstm.config import CorpusConfig
from charlstm.errors import RunError, setting
from charlstm.options import OnProgress, Texts, Unit, Unknown
from charlstm.runs.folder import is_run
from charlstm.text.corpus import Corpus, locate, open_corpus
from charlstm.text.vocabulary import Vocabulary


def names_of(texts: Texts) -> list[str]:
    """One text or several as a list of their names."""
    return [str(texts)] if isinstance(texts, str | Path) else [str(text) for text in texts]


def find_files(names: Sequence[str], unit: Unit, on_progress: OnProgress | None = None) -> list[Path]:
    """The files of texts; what lies in the folder of a run, which changes as it trains, is none.

    Raises:
        CorpusError: a text is missing, a folder holds none, or a named corpus cannot be downloaded.
    """
    return locate(names, unit, on_progress, left_out=is_run)


def open_texts(
    texts: Texts, unit: Unit, encoding: str, vocabulary: Vocabulary, unknown: Unknown, on_progress: OnProgress | None
) -> Corpus:
    """Texts as one corpus, under a vocabulary.

    Raises:
        CorpusError: a text cannot be found or read.
        VocabularyError: a character is not in `vocabulary` and `unknown` is "error".
    """
    return open_corpus(find_files(names_of(texts), unit, on_progress), unit, encoding, vocabulary, unknown)


def reopen(config: CorpusConfig, vocabulary: Vocabulary, on_progress: OnProgress | None = None) -> Corpus:
    """The text of a run, under the run's vocabulary.

    Raises:
        CorpusError: the text is gone.
        RunError: the text is no longer the one that the run was trained on.
    """
    corpus = open_texts(config.sources, config.unit, config.encoding, vocabulary, "skip", on_progress)
    if corpus.fingerprint != config.fingerprint or len(corpus) != config.characters:
        raise RunError(
            f"{', '.join(config.sources)} has changed since the run began",
            f"bring the old text back, or start a new run with {setting('init_from')} this one",
        )
    return corpus
