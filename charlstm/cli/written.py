"""How samples are written: one as it grows, several below each other, as JSON lines, or tinted."""

import codecs
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from charlstm.cli.tinted import as_characters, write_tinted
from charlstm.language_model import LanguageModel
from charlstm.options import SamplesOptions
from charlstm.score import Novelty

if TYPE_CHECKING:
    from charlstm.sampling.samples import Sample

    Groups = Iterator[Iterator[list[Sample]]]


@dataclass(frozen=True)
class Form:
    """Where samples go, and as what; `measure`, if given, is told each text."""

    path: Path | None
    echo: bool
    as_json: bool
    is_tinted: bool
    measure: Callable[[str], Novelty] | None

    def is_of_several(self, options: SamplesOptions) -> bool:
        """Whether there is more than one sample."""
        return max(1, len(options.prompts)) * options.count > 1


@dataclass
class Written:
    """What was written: so many characters, how many a second, what was measured of the sample of each seed."""

    done: int = 0
    growing: "list[Sample]" = field(default_factory=list)
    speed: float = 0.0
    novelties: list[tuple[int, Novelty]] = field(default_factory=list[tuple[int, Novelty]])
    is_interrupted: bool = False

    @property
    def characters(self) -> int:
        """Those of texts that are done, and of those that were still growing."""
        return self.done + sum(sample.length for sample in self.growing)


def writing(model: LanguageModel, options: SamplesOptions, form: Form) -> Callable[[], Written]:
    """What samples and writes; what cannot be sampled is refused before it is called.

    What Ctrl-C interrupts is kept as far as it is.
    """
    written = Written()
    if form.measure:
        form.measure("")  # so that a text which is gone is missed before anything is written
    several, kept = form.is_of_several(options), list["Sample"]()
    if several or form.as_json or form.is_tinted or form.measure:
        groups = model.growing_samples(**vars(options))
        groups = _counted(_kept(groups, kept) if form.measure and not form.as_json else groups, written)

        def before(number: int, sample: "Sample") -> bytes:
            heading = _heading(options, number, sample.seed) if several else b""
            return heading + _echoed(model, sample.prompt, form.echo)

        if form.is_tinted:
            write = partial(write_tinted, as_characters(groups, before, several, is_kept=form.measure is not None))
        elif form.as_json:
            write = partial(_write, _as_json(groups, options, form.measure), form.path, as_lines=True)
        else:
            write = partial(_write, _as_texts(groups, before, several), form.path, as_lines=False)
    else:  # keeps nothing of what was written
        alone = {name: value for name, value in vars(options).items() if name not in ("count", "prompts")}
        alone["prompt"] = (options.prompts or [options.prompt])[0]
        parts = _as_text(model, alone["prompt"], model.stream(**alone), form.echo, written)
        write = partial(_write, parts, form.path, as_lines=False)

    def run() -> Written:
        start = time.perf_counter()
        written.is_interrupted = write()
        written.speed = written.characters / (time.perf_counter() - start)
        if form.measure:
            written.novelties = [(sample.seed, form.measure(sample.text)) for sample in kept]
        return written

    return run


def _write(parts: Iterator[bytes], path: Path | None, as_lines: bool) -> bool:
    """Write to a file or to standard output, and say whether Ctrl-C ended it: what was written by then is kept."""
    from charlstm.display import console
    from charlstm.display.visible import visible_pieces
    from charlstm.files import atomic_write

    is_interrupted = False
    with ExitStack() as stack:
        file = None if path is None else stack.enter_context(atomic_write(path))
        as_shown = file is None and sys.stdout.isatty()
        pieces = visible_pieces(codecs.iterdecode(parts, "utf-8", "backslashreplace")) if as_shown else parts
        try:
            for piece in pieces:
                if isinstance(piece, bytes) and file is not None:
                    file.write(piece)
                else:
                    console.write(piece)
        except KeyboardInterrupt:
            is_interrupted = True
        if as_shown and not as_lines:
            console.write("\n")  # the shell's prompt belongs on a line of its own
    return is_interrupted


def _kept(groups: "Groups", kept: "list[Sample]") -> "Groups":
    """The same groups, whose samples are kept."""
    for growing in groups:
        samples = next(growing)  # which grow as the others come
        kept += samples
        yield chain([samples], growing)


def _counted(groups: "Groups", written: Written) -> "Groups":
    """The same groups, whose characters are counted."""
    for growing in groups:
        written.done, written.growing = written.characters, next(growing)
        yield chain([written.growing], growing)


def _echoed(model: LanguageModel, prompt: str, echo: bool) -> bytes:
    vocabulary = model.vocabulary
    return vocabulary.to_bytes(vocabulary.keep_known(vocabulary.symbols_of(prompt))) if echo else b""


def _heading(options: SamplesOptions, number: int, seed: int) -> bytes:
    prompt = f"prompt {number // options.count + 1}, " if len(options.prompts) > 1 else ""
    blank = "\n" if number else ""
    return f"{blank}--- {prompt}seed {seed} ---\n".encode()


def _as_text(model: LanguageModel, prompt: str, pieces: Iterator[str], echo: bool, written: Written) -> Iterator[bytes]:
    """What is written of the prompt, and then of each piece as soon as it is there."""
    yield _echoed(model, prompt, echo)
    for piece in pieces:
        symbols = model.vocabulary.symbols_of(piece)
        written.done += len(symbols)
        yield model.vocabulary.to_bytes(symbols)


def _as_texts(groups: "Groups", before: "Callable[[int, Sample], bytes]", several: bool) -> Iterator[bytes]:
    """One text after the other, the first of those that are sampled at once as it grows."""
    number = 0
    for growing in groups:
        shown, samples = 0, list["Sample"]()
        for samples in growing:
            first = samples[0]
            if not shown:
                yield before(number, first)
            yield first.vocabulary.to_bytes("".join(first.pieces[shown:]))
            shown = len(first.pieces)
        for sample in samples:
            if sample is not samples[0]:
                yield before(number, sample) + sample.vocabulary.to_bytes("".join(sample.pieces))
            if several:
                yield b"\n"
            number += 1


def _as_json(groups: "Groups", options: SamplesOptions, measure: Callable[[str], Novelty] | None) -> Iterator[bytes]:
    """One line a sample; what Ctrl-C interrupts comes as far as it is."""
    from charlstm.display.console import finite

    left_out = ("prompt", "prompts", "count", "state", "seed")
    settings = {name: value for name, value in vars(options).items() if name not in left_out}
    for growing in groups:
        samples, interrupt = list["Sample"](), None
        try:
            for samples in growing:  # noqa: B007 - the last ones are those that have ended
                pass
        except KeyboardInterrupt as error:
            interrupt = error
        for sample in samples:
            logs = [each if math.isfinite(each) else None for each in sample.log_probabilities]
            facts = {"prompt": sample.prompt, "text": sample.text, "seed": sample.seed, "log_probabilities": logs}
            facts |= {"settings": settings, "ended": sample.ended or "interrupted"}
            facts |= {"novelty": finite(measure(sample.text).to_dict())} if measure else {}
            yield json.dumps(facts).encode() + b"\n"
        if interrupt:
            raise interrupt
