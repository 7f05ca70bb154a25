"""The cache of compiled programs: healed, bounded, and silent."""

import os
import subprocess
import sys
import time

import pytest

from charlstm.runtime.compiled import prune

PROGRAM = """
from charlstm.runtime.setup import ready_jax
with ready_jax():
    import jax
    print(jax.jit(lambda x: x @ x)(jax.numpy.ones((3, 3))).sum())
"""


def run(cache, **variables: str) -> str:
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=os.environ | {"CHARLSTM_CACHE_DIR": str(cache)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.stdout, process.stderr) == ("27.0\n", "")
    return process.stdout


def damage(path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_damaged_program_is_made_again_without_a_word(tmp_path):
    run(tmp_path)
    entries = list(tmp_path.glob("xla/*/*-cache"))
    assert entries
    whole = {path: path.stat().st_size for path in entries}
    for path in entries:
        damage(path)
    run(tmp_path)
    for path, size in whole.items():  # compiled programs differ in a few bytes, of times
        assert path.stat().st_size > 0.9 * size


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_of_the_user_that_cannot_be_written_is_no_matter(tmp_path, folder):
    (tmp_path / "file").touch()
    run(tmp_path / "cache", JAX_COMPILATION_CACHE_DIR=str(tmp_path / folder))


def test_the_oldest_programs_and_versions_out_of_use_are_removed(tmp_path):
    now = time.time()
    for days, name in enumerate(("new/b-cache", "new/c-cache", "new/a-cache", "old/d-cache")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (now - 86_400 * days,) * 2)
    os.utime(tmp_path / "old", (now - 86_400 * 31,) * 2)
    prune(tmp_path, max_bytes=200)
    assert sorted(path.name for path in tmp_path.rglob("*-cache")) == ["b-cache", "c-cache"]
    assert not (tmp_path / "old").exists()
