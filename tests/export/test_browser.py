"""The page in README that samples in a browser: onnxruntime-web in Chromium, against the network itself."""

import functools
import http.server
import json
import queue
import re
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from charlstm import LanguageModel, load
from charlstm.model.network import zero_states
from charlstm.model.parameters import abstract_model

pytest.importorskip("onnx")

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
PROMPT, LENGTH = "The tide", 500
# The browser's random numbers, which Python can repeat: (0.5 + n golden ratios) mod 1.
RANDOM = "<script>let n = 0; Math.random = () => (0.5 + ++n * 0.6180339887498949) % 1;</script>"
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
FLAGS += ["--remote-debugging-port=0"]  # keeps the page open
REPORT = """
await fetch("/found", { method: "POST", body: JSON.stringify(document.querySelector("#text").textContent) });
</script>"""


@pytest.fixture
def runtime(tmp_path) -> Path:
    """A folder with the files of onnxruntime-web that a page needs, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm to get onnxruntime-web by")
    pack = [npm, "pack", "onnxruntime-web@1.30.0", "--silent", "--fetch-retries=0"]
    try:
        done = subprocess.run(pack, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=120, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm cannot get onnxruntime-web: {error.stderr!r}")
    (folder := tmp_path / "site").mkdir()
    with tarfile.open(tmp_path / done.stdout.split()[-1]) as archive:
        for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None, name
            (folder / name).write_bytes(member.read())
    return folder


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, and a place where the page says what it found."""

    found: queue.Queue[str] = queue.Queue()

    def do_POST(self) -> None:
        self.found.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def shown(folder: Path, browser: str, profile: Path) -> str:
    """The text that `page.html` in `folder` has written when it is done."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{server.server_port}/page.html"
        with (profile.with_suffix(".log")).open("w+b") as log:
            running = subprocess.Popen([browser, *FLAGS, f"--user-data-dir={profile}", page], stdout=log, stderr=log)
            try:
                return Handler.found.get(timeout=60)
            except queue.Empty:
                raise AssertionError(profile.with_suffix(".log").read_text("utf-8", "replace")[-2000:]) from None
            finally:
                running.kill()
                running.wait()
                server.shutdown()


def written(model: LanguageModel) -> str:
    """The same text by the network, in double precision from its probabilities on."""
    shape, vocabulary = model.config.model, model.vocabulary
    network = nnx.merge(abstract_model(shape)[0], jax.device_put(model.weights.params))
    step = jax.jit(lambda id, states: network.step(id, states, network.gate_table()))
    states, text = zero_states(shape, 1), ""
    *before, id = [*vocabulary.encode_prompt(""), *vocabulary.encode(PROMPT)]
    for each in before:
        _, states = step(np.array([each], np.int32), states)
    for number in range(1, LENGTH + 1):
        logits, states = step(np.array([id], np.int32), states)
        probabilities = np.asarray(jax.nn.softmax(logits[0]), np.float64)
        shares = np.where(probabilities < 0.01 * probabilities.max(), 0, probabilities).cumsum()
        uniform = (0.5 + number * 0.6180339887498949) % 1
        id = int(np.searchsorted(shares, uniform * shares[-1], side="right"))
        text += vocabulary.decode(np.array([id]))
    return text


@pytest.mark.slow
def test_the_page_in_readme_samples_as_the_network_does(trained_run, browser, runtime, tmp_path):
    (page,) = re.findall(r"^```html\n(.*?)^```$", README, flags=re.M | re.S)
    page = re.sub(r"https://[\w./-]+/", "", page).replace("\n</script>", REPORT)
    (runtime / "page.html").write_text(RANDOM + page, "utf-8")
    model = load(trained_run.path)
    model.export_onnx(runtime / "model.onnx")
    text = shown(runtime, browser, tmp_path / "browser")
    assert len(text) == LENGTH and text == written(model)
