"""Named corpora: the bundled one, two that come with every Python, and public ones downloaded once and verified."""

import hashlib
import lzma
import os
import sysconfig
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from charlstm.errors import DownloadError
from charlstm.files import atomic_write, cache_folder, files_below
from charlstm.options import BUNDLED, OnProgress

_BLOCK = 1 << 16  # bytes


@dataclass(frozen=True)
class NamedCorpus:
    """A corpus that has a name. `size` is in bytes of text; `url` is empty where nothing has to be downloaded."""

    name: str
    about: str
    licence: str
    files: Callable[[], list[Path]] = list
    url: str = ""
    sha256: str = ""
    download_size: int = 0
    size: int = 0

    def bytes(self) -> int:
        """The size of the text."""
        return self.size or sum(path.stat().st_size for path in self.files())

    @property
    def downloaded(self) -> bool:
        """Whether the text is on this machine already."""
        return not self.url or _place(self).exists()


def _bundled() -> list[Path]:
    here = Path(__file__).parents[1]
    inside = here / "corpora" / f"{BUNDLED}.txt"  # in a wheel; in a checkout the folder stands beside the package
    return [inside if inside.exists() else here.parent / "corpora" / f"{BUNDLED}.txt"]


def _python_docs() -> list[Path]:
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics)).encode()
    path = cache_folder("corpora") / "python-docs.txt"
    if not path.exists() or path.read_bytes() != text:
        with atomic_write(path) as file:
            file.write(text)
    return [path]


def _python_source() -> list[Path]:
    root = Path(sysconfig.get_path("stdlib"))
    # Tests and lib2to3 hold files that are wrongly encoded on purpose; site-packages is not the library.
    left_out = {"test", "tests", "idle_test", "lib2to3", "site-packages", "dist-packages", "__pycache__"}
    return [path for path in files_below(root, left_out.__contains__) if path.suffix == ".py"]


def _place(corpus: NamedCorpus) -> Path:
    return cache_folder("corpora") / f"{corpus.name}.txt"


NAMED = {
    corpus.name: corpus
    for corpus in (
        NamedCorpus(BUNDLED, "seven plays and their songs, written for charlstm", "CC0", _bundled),
        NamedCorpus("python-docs", "the language reference inside this Python", "PSF-2.0", _python_docs),
        NamedCorpus("python-source", "the standard library of this Python", "PSF-2.0", _python_source),
        NamedCorpus(
            "tiny-shakespeare",
            "40,000 lines of Shakespeare, from char-rnn",
            "public domain",
            url="https://raw.githubusercontent.com/karpathy/char-rnn/"
            "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            download_size=1_115_394,
            size=1_115_394,
        ),
        NamedCorpus(
            "enwik8",
            "the first 100 MB of the English Wikipedia of 2006, XML included",
            "CC-BY-SA-3.0",
            url="http://mattmahoney.net/dc/enwik8.zip",
            sha256="547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
            download_size=36_445_475,
            size=100_000_000,
        ),
        NamedCorpus(
            "text8",
            "100 MB of Wikipedia's words in 26 letters and spaces",
            "CC-BY-SA-3.0",
            url="http://mattmahoney.net/dc/text8.zip",
            sha256="a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
            download_size=31_344_016,
            size=100_000_000,
        ),
    )
}


def is_named(name: str) -> bool:
    """Whether `name` is that of a named corpus."""
    return name in NAMED


def locate_named(name: str, on_progress: OnProgress | None = None) -> list[Path]:
    """The files of a named corpus, downloaded first if need be.

    Raises:
        DownloadError: it could not be downloaded, or what came has another size or SHA-256; nothing is kept then.
    """
    corpus = NAMED[name]
    if not corpus.url:
        return corpus.files()
    place = _place(corpus)
    if not place.exists():
        _download_text(corpus, place, on_progress)
    return [place]


def _download_text(corpus: NamedCorpus, place: Path, on_progress: OnProgress | None) -> None:
    import requests

    packed = place.with_suffix(f".{os.getpid()}.download")  # another process may be downloading the same
    try:
        _save_response(corpus, packed, on_progress)
        if corpus.url.endswith(".zip"):
            _unpack(corpus, packed, place)
        else:
            packed.replace(place)
    except (requests.RequestException, KeyError, ValueError, OSError) as error:
        raise DownloadError(
            f"cannot download {corpus.name} from {corpus.url}: {error}",
            "try again later, or download the file yourself and train on it",
        ) from error
    finally:
        packed.unlink(missing_ok=True)


def _unpack(corpus: NamedCorpus, packed: Path, place: Path) -> None:
    """Write the text in a zip to `place`. `ValueError` if it is not what was promised."""
    with atomic_write(place) as out:
        for block in _unzipped(packed, corpus.name):
            out.write(block)
            if out.tell() > corpus.size:  # at once, not to fill the disk
                break
        if out.tell() != corpus.size:
            raise ValueError(f"the text in it has not the {corpus.size:,} bytes that it should have")


def _unzipped(packed: Path, name: str) -> Iterator[bytes]:
    """The file `name` in a zip, in pieces; all else that is in there is left alone. `ValueError` if it is damaged."""
    try:
        with zipfile.ZipFile(packed) as archive, archive.open(name) as text:
            while block := text.read(_BLOCK):
                yield block
    # It wants a password, has an unknown compression, or is damaged: in each compression that is another error.
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"it cannot be unpacked: {error}") from error


def _save_response(corpus: NamedCorpus, path: Path, on_progress: OnProgress | None) -> None:
    """Write what the server sends to `path`. `ValueError` if it is not what was promised."""
    import requests

    digest = hashlib.sha256()
    with requests.get(corpus.url, stream=True, timeout=30) as response, path.open("wb") as file:
        response.raise_for_status()
        for block in response.iter_content(_BLOCK):
            file.write(block)
            digest.update(block)
            if file.tell() > corpus.download_size:  # at once, not to fill the disk
                raise ValueError(f"more than the {corpus.download_size:,} bytes that it should have came")
            if on_progress:
                on_progress(f"downloading {corpus.name}", file.tell(), corpus.download_size)
    if digest.hexdigest() != corpus.sha256:
        raise ValueError("what came has another SHA-256")
