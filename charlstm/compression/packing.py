"""Compressing and decompressing: any bytes, exactly."""

import hashlib
from functools import partial

from charlstm.compression.coder import best_rate, decode, encode, streams_for
from charlstm.compression.container import Container
from charlstm.compression.content import Content
from charlstm.errors import RunError
from charlstm.options import CompressOptions, OnProgress
from charlstm.runs.weights import Weights, fingerprint
from charlstm.runtime.memory import require_memory
from charlstm.runtime.processor import allowed_cores, processor_key

_BYTES = 24  # of memory for each of the content: as text, as code points, as ids


def compress(weights: Weights, options: CompressOptions) -> bytes:
    """A compressed file of the bytes in `options`.

    Raises:
        ConfigError: constriction is missing.
        MemoryLimitError: there is not memory enough.
    """
    data, encoding = options.data, weights.config.corpus.encoding
    _require_memory(len(data))
    content = Content.of(data, weights.vocabulary, encoding)
    count, on_progress = len(content.ids), options.on_progress or _silent
    streams, rate = streams_for(count, options.dynamic), 0.0
    if options.dynamic:
        rate = best_rate(weights, content.ids, streams, partial(on_progress, "choosing how fast to learn"))
    code = encode(weights, content.ids, streams, rate, lambda done: on_progress("compressing", done, count))
    return Container(
        size=len(data), count=count, streams=streams, rate=rate, is_own_encoding=content.is_own_encoding,
        fingerprint=_fingerprint(weights), digest=_digest(data), maker=_maker(), aside=content.aside, code=code,
    ).to_bytes()  # fmt: skip


def decompress(weights: Weights, data: bytes, name: str, on_progress: OnProgress | None) -> bytes:
    """What was compressed; messages call the compressed file `name`.

    Raises:
        ConfigError: constriction is missing.
        CorpusError: the file is none of this program's, or damaged.
        RunError: it was compressed with another model, or elsewhere, where sums are rounded otherwise.
        MemoryLimitError: there is not memory enough.
    """
    found = Container.from_bytes(data, name)
    if found.fingerprint != _fingerprint(weights):
        raise RunError(f"{name} was compressed with another model", "decompress it with the very same weights")
    _require_memory(found.size)
    on_progress = on_progress or _silent
    try:
        ids = decode(
            weights, found.code, found.count, found.streams, found.rate,
            lambda done: on_progress("decompressing", done, found.count),
        )  # fmt: skip
        content = Content(ids, found.aside, found.is_own_encoding)
        text = content.to_bytes(weights.vocabulary, weights.config.corpus.encoding, found.size)
    except (ValueError, IndexError):  # nonsense, as below
        text = b""
    if len(text) != found.size or _digest(text) != found.digest:
        raise RunError(
            f"{name} cannot be decompressed here: it was compressed by {found.maker}, this is {_maker()}, "
            "and the probabilities are not the same to the last bit",
            "decompress it where it was compressed, with the same versions and as many cores",
        )
    return text


def _silent(what: str, done: int, total: int) -> None:
    pass


def _require_memory(size: int) -> None:
    require_memory(_BYTES * size, f"a file of {size:,} bytes", "cut it into several")


def _fingerprint(weights: Weights) -> bytes:
    """Parameters, vocabulary and encoding: all that decides what a code stands for."""
    parts = (fingerprint(weights), weights.vocabulary.to_json(), weights.config.corpus.encoding)
    return _digest("\n".join(parts).encode())


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:8]


def _maker() -> str:
    """What the last bits of a probability depend on.

    Where weights learn, sums are cut into as many parts as there are threads, and of these XLA makes one for each core
    that it may use, and one for each of its devices at least.
    """
    import jax

    threads = max(allowed_cores(), jax.local_device_count())
    return f"jax {jax.__version__} on {jax.default_backend()} {processor_key()} with {threads} threads"
