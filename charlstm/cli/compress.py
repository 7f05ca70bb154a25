"""`charlstm compress` and `charlstm decompress`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from charlstm.cli.options import NEWEST, RUN_HELP, options_of
from charlstm.errors import ConfigError, StorageError, setting
from charlstm.files import is_no_file, user_path
from charlstm.language_model import LanguageModel, load
from charlstm.options import CompressOptions

_ENDING = ".chlz"

_File = Annotated[str, typer.Argument(metavar="FILE", help="A file, or - for standard input.")]
_Model = Annotated[str | None, typer.Option(metavar="RUN", help=RUN_HELP, show_default=NEWEST)]
_Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="PATH", help="A file, or - for standard output.")
]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there already.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No remarks.")]


@options_of(CompressOptions)
def compress(
    chosen: dict[str, Any],
    file: _File,
    model: _Model = None,
    output: _Output = None,
    overwrite: _Overwrite = False,
    quiet: _Quiet = False,
) -> None:
    """Make any file small by a model's predictions: FILE becomes FILE.chlz, and stays. Needs the extra `compress`.

    It takes as many bits for a character as `evaluate` says, and a header of some 80 bytes.

    `charlstm decompress` needs the same model, on the same kind of machine with the same versions: elsewhere
    probabilities are rounded otherwise, and it refuses.
    """
    place = _place(file, model, output, f"{file}{_ENDING}", overwrite)
    if place is None and sys.stdout.isatty():
        raise ConfigError("a compressed file is not for a terminal", "name one with --output")
    data = _read(file)
    from charlstm.display.bars import Bars

    loaded = load(model)
    with Bars() as bars:
        packed = loaded.compress(data, **chosen, on_progress=bars)
    _write(packed, place)
    if not quiet:
        _note(file, f"{len(data):,} -> {len(packed):,} bytes{_rate(loaded, data, packed)}", place)


def decompress(
    file: _File,
    model: _Model = None,
    output: _Output = None,
    overwrite: _Overwrite = False,
    quiet: _Quiet = False,
) -> None:
    """Bring back what `charlstm compress` made small, byte for byte: FILE.chlz becomes FILE.

    It takes the same model, on the same kind of machine with the same versions.

    What is damaged, or does not come out as it went in, is refused.
    """
    place = _place(file, model, output, file.removesuffix(_ENDING), overwrite)
    packed = _read(file)
    from charlstm.display.bars import Bars
    from charlstm.text.spool import name_of

    loaded = load(model)
    with Bars() as bars:
        data = loaded.decompress(packed, name_of(file), on_progress=bars)
    _write(data, place)
    if not quiet:
        _note(file, f"{len(packed):,} -> {len(data):,} bytes", place)


def _place(file: str, model: str | None, output: str | None, usual: str, overwrite: bool) -> Path | None:
    """Where the result goes, a file or, None, standard output; by default the `usual` file."""
    from charlstm.text.spool import is_read_once

    if file == "-" and model == "-":
        raise ConfigError("standard input cannot be both the model and the file", "name a file for one of them")
    if output == "-" or (output is None and is_read_once(file if file == "-" else user_path(file))):
        return None
    if output is None and usual == file:
        raise ConfigError(f"the name {file} does not end in {_ENDING}", "say with --output where the result goes")
    path = user_path(usual if output is None else output)
    if is_no_file(path):
        raise ConfigError(f"{path} is not a file", "say with --output where the result goes")
    if os.path.isfile(path) and not overwrite:  # noqa: PTH113 - Path raises on a long name
        raise StorageError(f"{path} is there already", f"{setting('overwrite', True)} replaces it")
    return path


def _read(file: str) -> bytes:
    from charlstm.text.spool import blocks

    return b"".join(blocks(file if file == "-" else user_path(file)))


def _write(data: bytes, place: Path | None) -> None:
    """To a file, whole or not at all, or to standard output; on a terminal control characters are shown, not obeyed."""
    from charlstm.display import console
    from charlstm.display.visible import visible
    from charlstm.files import atomic_write

    if place is not None:
        with atomic_write(place) as out:
            out.write(data)
    else:
        console.write(visible(data.decode("utf-8", "backslashreplace")) if sys.stdout.isatty() else data)


def _rate(model: LanguageModel, data: bytes, packed: bytes) -> str:
    """What a character, or a byte, takes."""
    unit = model.vocabulary.unit
    count = len(data if unit == "byte" else data.decode(model.config.corpus.encoding, "replace"))
    return f", {8 * len(packed) / count:.4f} bits per {unit}" if count else ""


def _note(file: str, what: str, place: Path | None) -> None:
    from charlstm.display.console import note
    from charlstm.text.spool import name_of

    note(f"{name_of(file)}: {what}, {'to standard output' if place is None else place}")
