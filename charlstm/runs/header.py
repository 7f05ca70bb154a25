"""Settings and vocabulary of a run as JSON: in its folder, and in the header of every tensor file. No JAX."""

import json

from charlstm.config import RunConfig, from_dict, to_dict
from charlstm.errors import RunError
from charlstm.files import parse_json
from charlstm.text.documents import WHOLE
from charlstm.text.vocabulary import Vocabulary


def make_header(config: RunConfig, vocabulary: Vocabulary) -> dict[str, str]:
    """Settings and vocabulary as they travel inside a tensor file: without paths, for it may be published."""
    return {"config": json.dumps(to_dict(config.without_paths())), "vocabulary": vocabulary.to_json()}


def read_header(header: dict[str, str], where: str) -> tuple[RunConfig, Vocabulary]:
    """The inverse of `make_header`, paths aside; `where` names the file.

    Raises:
        RunError: it is of another format or damaged.
    """
    config = config_from(header.get("config", ""), where)
    vocabulary = Vocabulary.from_json(header.get("vocabulary", ""), where)
    check_size(config, vocabulary, where)
    return config, vocabulary


def config_from(text: str, where: str) -> RunConfig:
    """The settings that `text` holds as JSON; `where` names the file.

    Raises:
        RunError: it is of another format or damaged.
    """
    try:
        data = parse_json(text)
    except ValueError as error:
        raise RunError(f"{where} does not hold JSON: {error}", "the file is damaged") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != RunConfig.format:
        raise RunError(
            f"{where} is of format {found}, but this program reads format {RunConfig.format}",
            "use the version of charlstm that wrote it, or train again",
        )
    return from_dict(RunConfig, data, where)


def check_size(config: RunConfig, vocabulary: Vocabulary, where: str) -> None:
    """Refuse settings and a vocabulary that are not of the same run.

    Raises:
        RunError: they are not.
    """
    of_model, of_vocabulary = (config.model.vocabulary_size, config.model.rare), (len(vocabulary), vocabulary.rare)
    if of_model != of_vocabulary:
        raise RunError(
            f"{where}: the model has {of_model[0]} symbols ({of_model[1]} rare), the vocabulary {of_vocabulary[0]} "
            f"({of_vocabulary[1]} rare)",
            "the file is damaged",
        )
    if config.corpus.documents != WHOLE.kind and vocabulary.boundary is None:
        raise RunError(
            f"{where}: the text is cut into documents, but the vocabulary has no boundary", "the file is damaged"
        )
