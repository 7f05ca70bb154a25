"""Standard streams that are closed, full, or whose reader has gone."""

import errno
import io
import os
import subprocess
import sys

import pytest

from charlstm.display.streams import Remarks, Results, standard_streams
from charlstm.errors import StorageError


class Broken(io.StringIO):
    """A stream that fails in one way."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.tries = error, 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise self.error

    def flush(self) -> None:
        self.write("")

    def isatty(self) -> bool:
        raise self.error


FAILURES = [OSError(errno.EIO, "gone"), OSError(errno.ENOSPC, "full"), BrokenPipeError(), ValueError("closed file")]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_a_remark_that_cannot_be_written_is_none(error):
    stream = Broken(error)
    remarks = Remarks(stream)
    for _ in range(3):
        print("remark", file=remarks, flush=True)
    assert stream.tries == 1 and not remarks.isatty()


@pytest.mark.parametrize("stream", [None, Broken(OSError(errno.ENOSPC, "full"))], ids=["closed", "full"])
def test_a_result_that_cannot_be_written_is_one_error(stream):
    results = Results(stream)
    with pytest.raises(StorageError, match="standard output"):
        print("result", file=results)
    print("what comes after", file=results, flush=True)


def test_a_reader_that_has_gone_is_told_apart():
    results = Results(Broken(BrokenPipeError()))
    with pytest.raises(BrokenPipeError):
        print("result", file=results)
    print("what comes after", file=results, flush=True)


def test_a_closed_stream_to_which_nothing_is_written_is_no_error():
    Results(None).flush()
    Remarks(None).flush()
    print("remark", file=Remarks(None))


def test_characters_beyond_the_encoding_are_escaped_and_bytes_are_exact():
    raw = io.BytesIO()
    results = Results(io.TextIOWrapper(raw, encoding="ascii"))
    print("é␛", file=results, end="")
    results.write_bytes(b"\xff")
    assert raw.getvalue() == b"\\xe9\\u241b\xff"


def test_the_streams_of_the_caller_come_back():
    before = sys.stdout, sys.stderr
    with pytest.raises(KeyError), standard_streams():
        assert isinstance(sys.stdout, Results) and isinstance(sys.stderr, Remarks)
        raise KeyError
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.skipif(os.name == "nt", reason="shells close no streams there")
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_no_file_gets_the_number_of_a_closed_stream(closed):
    program = (
        "import os\nfrom charlstm.display.streams import standard_streams\n"
        "with standard_streams():\n    number = os.open(os.devnull, os.O_RDONLY)\n    os._exit(number)"
    )
    shut = " ".join(f"{number}<&-" for number in closed)
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {shut}', sys.executable, program], check=False)
    assert done.returncode == 3
