"""Named corpora from a server that is good, broken, or not there."""

import gzip
import hashlib
import http.server
import io
import threading
import zipfile

import pytest

from charlstm.errors import DownloadError
from charlstm.text import catalogue
from charlstm.text.catalogue import NAMED, NamedCorpus, locate_named

TEXT = b"It was the best of times, it was the worst of times.\n" * 200
GZIPPED = gzip.compress(TEXT)


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server on loopback; `server.files` maps paths to bytes and headers, `server.asked` lists the requests."""
    monkeypatch.setenv("CHARLSTM_CACHE_DIR", str(tmp_path))
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "127.0.0.1")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            data, headers = files.get(self.path, (None, {}))
            if data is None:
                self.send_error(404)
                return
            self.send_response(httpd.status)
            for header in headers.items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    files, asked = {}, []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.files, httpd.asked, httpd.status = files, asked, 200
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield httpd
        httpd.shutdown()
        thread.join()


def named(monkeypatch, server, data: bytes, path: str = "/text.txt", promised: int | None = None, **changes) -> str:
    """Serve `data` as a named corpus; its name."""
    server.files[path] = data, {"Content-Length": str(len(data) if promised is None else promised)}
    facts = {
        "url": f"http://127.0.0.1:{server.server_address[1]}{path}",
        "sha256": hashlib.sha256(data).hexdigest(),
        "download_size": len(data),
        "size": len(TEXT),
    }
    corpus = NamedCorpus("dickens", "a tale", "public domain", list, **facts | changes)
    monkeypatch.setitem(NAMED, "dickens", corpus)
    return "dickens"


def left_behind(tmp_path) -> list[str]:
    return [path.name for path in tmp_path.rglob("*") if path.is_file()]


def test_a_text_is_downloaded_once_with_progress(monkeypatch, server):
    told = []
    name = named(monkeypatch, server, TEXT)
    for _ in range(2):
        (path,) = locate_named(name, lambda *progress: told.append(progress))
        assert path.read_bytes() == TEXT
    assert server.asked == ["/text.txt"] and NAMED[name].downloaded
    assert [size for _, size, _ in told] == sorted(size for _, size, _ in told)
    assert told[-1] == ("downloading dickens", len(TEXT), len(TEXT))


def in_chunks(data: bytes, size: int) -> bytes:
    """`data` as HTTP's chunked transfer coding has it."""
    parts = [data[first : first + size] for first in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (GZIPPED, {"Content-Encoding": "gzip", "Content-Length": str(len(GZIPPED))}),
        (TEXT, {}),
        (in_chunks(TEXT, 700), {"Transfer-Encoding": "chunked"}),
    ],
    ids=["compressed on the way", "without a length", "in chunks"],
)
def test_progress_is_out_of_the_known_size_whatever_the_server_says(monkeypatch, server, data, headers):
    name, told = named(monkeypatch, server, TEXT), []
    server.files["/text.txt"] = data, headers
    (path,) = locate_named(name, lambda *progress: told.append(progress))
    assert path.read_bytes() == TEXT
    assert {size for _, _, size in told} == {len(TEXT)} and told[-1][1] == len(TEXT)


def test_what_is_downloaded_needs_no_server(monkeypatch, server):
    name = named(monkeypatch, server, TEXT)
    assert not NAMED[name].downloaded
    locate_named(name)
    server.files.clear()
    assert locate_named(name)[0].read_bytes() == TEXT and len(server.asked) == 1


def test_a_download_that_failed_can_be_made_again(monkeypatch, server):
    name = named(monkeypatch, server, TEXT)
    good = server.files.pop("/text.txt")
    with pytest.raises(DownloadError):
        locate_named(name)
    server.files["/text.txt"] = good
    assert locate_named(name)[0].read_bytes() == TEXT


def test_a_text_that_was_swapped_on_the_server_is_not_taken(monkeypatch, server, tmp_path):
    name = named(monkeypatch, server, TEXT)
    server.files["/text.txt"] = TEXT.replace(b"best", b"host"), {}  # of the same size
    with pytest.raises(DownloadError, match="another SHA-256"):
        locate_named(name)
    assert left_behind(tmp_path) == []


def test_a_zip_is_unpacked(monkeypatch, server):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dickens", TEXT)
    (path,) = locate_named(named(monkeypatch, server, packed.getvalue(), "/text.zip"))
    assert path.read_bytes() == TEXT


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "0" * 64},
        {"download_size": len(TEXT) // 2},
        {"url": "http://127.0.0.1:1/refused"},
        {"promised": len(TEXT) + 1000},
    ],
    ids=["mismatch", "too long", "unreachable", "cut off"],
)
def test_what_is_not_what_it_should_be_is_an_error_and_leaves_nothing(monkeypatch, server, tmp_path, changes):
    name = named(monkeypatch, server, TEXT, **changes)
    with pytest.raises(DownloadError, match="cannot download dickens"):
        locate_named(name)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("content", [b"no archive at all", "another name"], ids=["no zip", "without the text"])
def test_a_zip_that_is_none_or_holds_another_file_leaves_nothing(monkeypatch, server, tmp_path, content):
    if isinstance(content, str):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(content, TEXT)
        content = packed.getvalue()
    with pytest.raises(DownloadError, match="cannot download dickens"):
        locate_named(named(monkeypatch, server, content, "/text.zip"))
    assert left_behind(tmp_path) == []


def crafted_zip(kind: str) -> bytes:
    """A zip that does harm where it is trusted."""
    packed = io.BytesIO()
    method = {"lzma": zipfile.ZIP_LZMA, "bzip2": zipfile.ZIP_BZIP2}.get(kind, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(packed, "w", method) as archive:
        if kind == "names":
            for name in ("../outside", "/tmp/outside", "a/../../outside"):
                archive.writestr(name, TEXT)
        elif kind == "a link":
            link = zipfile.ZipInfo("dickens")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
        else:
            archive.writestr("dickens", {"a bomb": bytes(10_000_000), "short": TEXT[:-1]}.get(kind, TEXT))
    data = bytearray(packed.getvalue())
    central = data.index(b"PK\x01\x02")
    if kind == "a password":
        data[6] |= 1
        data[central + 8] |= 1
    elif kind == "a method":
        data[8], data[central + 10] = 99, 99
    elif kind != "names":
        data[45:60] = b"damaged" * 2 + b"!"
    return bytes(data)


@pytest.mark.parametrize(
    "kind", ["names", "a link", "a bomb", "short", "a password", "a method", "lzma", "bzip2", "zip"]
)
def test_a_crafted_zip_is_an_error_and_writes_nothing(monkeypatch, server, tmp_path, kind):
    with pytest.raises(DownloadError, match="cannot download dickens"):
        locate_named(named(monkeypatch, server, crafted_zip(kind), "/text.zip"))
    assert left_behind(tmp_path) == [] and not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize("place", ["/text.txt", "file:///etc/passwd", "http://[::1", "//", "http://127.0.0.1:99999/"])
def test_a_redirect_that_leads_nowhere_is_an_error(monkeypatch, server, tmp_path, place):
    name = named(monkeypatch, server, TEXT)
    server.status, server.files["/text.txt"] = 302, (b"", {"Location": place, "Content-Length": "0"})
    with pytest.raises(DownloadError, match="cannot download dickens"):
        locate_named(name)
    assert left_behind(tmp_path) == []


def test_a_page_that_is_gone_is_an_error(monkeypatch, server, tmp_path):
    name = named(monkeypatch, server, TEXT)
    server.files.clear()
    with pytest.raises(DownloadError, match="404"):
        locate_named(name)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("name", ["salt-road", "python-docs", "python-source"])
def test_what_needs_no_network_counts_as_downloaded(name):
    paths = locate_named(name)
    assert paths and all(path.stat().st_size or path.name == "__init__.py" for path in paths)
    assert NAMED[name].downloaded and NAMED[name].bytes() > 150_000


def test_the_bundled_text_is_the_one_in_the_checkout_or_the_wheel():
    (path,) = catalogue.locate_named("salt-road")
    assert len(path.read_text("utf-8")) >= 150_000
