"""The texts that runs read: those that a user names, and those that a run remembers."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from charlstm.config import CorpusConfig
from charlstm.errors import CorpusError, RunError, setting
from charlstm.files import user_path
from charlstm.options import OnProgress, Texts, Unit, Unknown
from charlstm.runs.folder import is_run, read_config
from charlstm.text.corpus import Corpus, open_corpus
from charlstm.text.documents import Documents
from charlstm.text.reading import fingerprint_of
from charlstm.text.sources import lasting_names, locate
from charlstm.text.spool import STDIN, is_read_once
from charlstm.text.unpacking import is_packed
from charlstm.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charlstm.runs.weights import Weights

# A character takes at most 4 bytes in UTF-8, 10 as an escape; beside them stand marks and shifts.
_MAX_BYTES, _MAX_BYTES_MORE = 16, 1 << 20


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
    texts: Texts,
    unit: Unit,
    encoding: str,
    vocabulary: Vocabulary,
    unknown: Unknown,
    on_progress: OnProgress | None,
    documents: str = "whole",
) -> Corpus:
    """Texts as one corpus, under a vocabulary; cut into `documents`, which keep their order.

    Raises:
        CorpusError: a text cannot be found or read.
        VocabularyError: a character is not in `vocabulary` and `unknown` is "error".
    """
    files = find_files(names_of(texts), unit, on_progress)
    cut = Documents(documents)
    return open_corpus(files, unit, encoding, vocabulary, unknown, documents=cut, on_progress=on_progress)


def own_text(
    weights: "Weights", named: Texts | None = None, on_progress: OnProgress | None = None
) -> tuple[Corpus, list[str]]:
    """The text that a model was trained on, and where it was found; `named` says where it is now.

    Raises:
        CorpusError: the text is gone.
        RunError: the text is no longer the one that the model was trained on.
    """
    # What may be published, as weights, does not know places.
    config = read_config(weights.run).corpus if weights.run else weights.config.corpus
    return reopen(config, weights.vocabulary, weights.run, named, on_progress)


def _own_files(sources: Sequence[str], config: CorpusConfig, on_progress: OnProgress | None) -> list[Path]:
    """The files of what a run names as its text; none where that cannot be it.

    What a run names was written by whoever made it: a device that never ends, or a whole disk, is not read.

    Raises:
        CorpusError: a text is missing, or can be read only once.
    """
    if not sources:
        raise CorpusError("the run names no text")
    files: list[Path] = []
    size, largest = 0, _MAX_BYTES * config.characters + _MAX_BYTES_MORE
    for source in sources:
        if source == STDIN or is_read_once(user_path(source)):
            raise CorpusError(f"{source} can be read only once")
        found = find_files([source], config.unit, on_progress)
        size += sum(file.stat().st_size for file in found if file.exists())
        if size > largest:
            return []
        files += found
    return files


def _as_trained(files: list[Path], config: CorpusConfig) -> list[Path]:
    """`files` without those that are packed where that is the text of a run: earlier versions left them out."""
    plain = [file for file in files if config.unit == "byte" or not is_packed(file)]
    return plain if len(plain) < len(files) and fingerprint_of(plain) == config.fingerprint else files


def reopen(
    config: CorpusConfig,
    vocabulary: Vocabulary,
    run: Path | None = None,
    named: Texts | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Corpus, list[str]]:
    """The text of a run, under the run's vocabulary, and where it was found, in names that last.

    It is looked for where it was; then by its name in this folder, beside the run, and beside the folder of runs. Only
    the very same text is taken: it has a fingerprint. `named` says where it is now.

    Raises:
        CorpusError: the text is gone.
        RunError: the text is no longer the one that the run was trained on.
    """
    if named:
        places = [names_of(named)]
    else:
        nearby = [Path(), *([run.absolute().parent, run.absolute().parent.parent] if run else [])]
        places = [config.sources, *([str(place / Path(name).name) for name in config.sources] for place in nearby)]
    missing: CorpusError | None = None
    changed: list[str] = []
    for sources in places:
        try:
            files = find_files(sources, config.unit, on_progress) if named else _own_files(sources, config, on_progress)
            if not files:
                changed = changed or sources
                continue
            files = _as_trained(files, config)
            documents = Documents(config.documents, config.order_seed)
            open_own = partial(
                open_corpus, files, config.unit, config.encoding, vocabulary, "skip",
                documents=documents, on_progress=on_progress,
            )  # fmt: skip
            corpus = open_own()
            if corpus.fingerprint == config.fingerprint and len(corpus) != config.characters:
                corpus = open_own(keep_mark=True)  # earlier versions counted a byte order mark as text
        except CorpusError as error:
            missing = missing or error
            continue
        if corpus.fingerprint == config.fingerprint and len(corpus) == config.characters:
            return corpus, lasting_names(sources, files)
        changed = changed or sources
    if changed:
        raise RunError(
            f"{', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''} is not the text that the run was trained "
            "on, or has changed since",
            f"bring the old text back, or start a new run with {setting('init_from')} this one",
        )
    assert missing
    if named:
        raise missing
    raise CorpusError(
        f"the run's own text is gone: {missing.raw_message}",
        f"name it where it is now, together with {setting('resume')} or, to evaluate, as {setting('own_text')}: "
        "it is recognised by its fingerprint",
    )
