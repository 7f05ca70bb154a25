"""What all tests share: two CPU devices, strict arrays, shapes checked, and nothing outside of temporary folders."""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# What the caller's terminal and JAX have been told is not for the programs under test.
for variable in (
    *("COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "TERMINAL_WIDTH", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("JAX_COMPILATION_CACHE_DIR", "JAX_NUM_CPU_DEVICES", "TF_CPP_MIN_LOG_LEVEL", "XLA_FLAGS"),
):
    os.environ.pop(variable, None)
_CACHE = tempfile.TemporaryDirectory(prefix="charlstm-tests-")
if "PYTEST_XDIST_WORKER" in os.environ:  # its caches are its own, compiled programs are those of all workers
    with contextlib.suppress(OSError):  # Windows may not allow links
        Path(_CACHE.name, "xla").symlink_to(Path(os.environ["CHARLSTM_CACHE_DIR"], "xla"), target_is_directory=True)
os.environ["CHARLSTM_CACHE_DIR"] = _CACHE.name
os.environ["CHARLSTM_CPU_DEVICES"] = "2"
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # bit for bit, and two devices, on machines with an accelerator too

from jaxtyping import install_import_hook  # noqa: E402

# Every call of these modules is checked against the shapes in its signature.
_CHECKED = (
    *("model.lstm", "model.gru", "model.rnn", "model.scan", "model.products", "model.network"),
    *("model.loss", "model.dropout", "model.members", "training.muon"),
    *("sampling.filters", "sampling.generation"),
)
install_import_hook([f"charlstm.{name}" for name in _CHECKED], "beartype.beartype")

from charlstm.runtime.setup import set_up_jax  # noqa: E402

set_up_jax()

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from flax import nnx  # noqa: E402
from hypothesis import settings as hypothesis_settings  # noqa: E402
from jax.sharding import Mesh  # noqa: E402

from charlstm.config import CorpusConfig, ModelConfig, RunConfig, TrainingConfig  # noqa: E402
from charlstm.model.parameters import initial_parameters  # noqa: E402
from charlstm.runs.folder import Run, create_run  # noqa: E402
from charlstm.runs.weights import Weights, save_weights  # noqa: E402
from charlstm.text.corpus import Corpus, open_corpus  # noqa: E402
from charlstm.text.vocabulary import Vocabulary  # noqa: E402
from charlstm.training import steps  # noqa: E402
from charlstm.training.loop import train  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
# A machine that is busy for a fifth of a second breaks no law.
hypothesis_settings.register_profile("charlstm", hypothesis_settings(), deadline=None, print_blob=True)
hypothesis_settings.load_profile("charlstm")


def is_quick(item: pytest.Item) -> bool:
    """Whether the programs of a test are compiled in the shortest time."""
    return not any(map(item.get_closest_marker, ("optimized", "slow")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those tests come first: between them and others all that was compiled is forgotten."""
    items.sort(key=is_quick, reverse=True)


@pytest.hookimpl(tryfirst=True)  # before fixtures compile anything
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Programs are compiled as users have them in tests marked `optimized` or `slow`, in the shortest time in others.

    LLVM's optimisations are most of what a short training costs: 9.5 s of processor time with them, 4.5 s without.
    """
    quick = is_quick(item)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(quick))  # for processes that a test starts
    if jax.config.read("jax_disable_most_optimizations") != quick:
        jax.clear_caches()
        jax.config.update("jax_disable_most_optimizations", quick)


# What ends a run, sets its rate or looks at it is not in its program, as a test of the loop holds.
OUTSIDE = {"steps", "minutes", "learning_rate", "warmup", "validation", "patience", "sample_every", "schedule"}
make_steps, _made = steps.make_steps, {}


def steps_made_once(model: ModelConfig, config: TrainingConfig, mesh: Mesh, first: int = 0) -> Callable:
    """Trainings alike share their steps: tracing and lowering these is 0.8 of the second that a repeated one takes."""
    inside = {name: value for name, value in dataclasses.asdict(config).items() if name not in OUTSIDE}
    key = repr((model, inside, first)), mesh
    if key not in _made:
        if len(_made) == 16:
            _made.clear()
        _made[key] = make_steps(model, config, mesh, first)
    return _made[key]


steps.make_steps = steps_made_once


VERSE = "The salt road runs from hill to sea,\nand who goes out comes home to tea.\n"


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short text of 20 lines."""
    path = tmp_path_factory.mktemp("text") / "verse.txt"
    path.write_bytes("".join(VERSE.replace("tea", f"tea {n}") for n in range(10)).encode())
    return path


@pytest.fixture(scope="session")
def corpus(text_file: Path) -> Corpus:
    """That text, read."""
    return open_corpus([text_file])


def training_config(**changes: object) -> TrainingConfig:
    """Settings of a training of 20 small steps; any of them may be given."""
    settings = {
        "batch_size": 4, "sequence_length": 16, "optimizer": "muon", "learning_rate": 5e-3, "weight_decay": 0.1,
        "clip": 1.0, "warmup": 2, "steps": 20, "minutes": None, "validation": 0.1, "patience": None,
        "precision": "float32", "seed": 0, "sample_every": 0,
    }  # fmt: skip
    return TrainingConfig(**settings | changes)  # type: ignore[arg-type]


def small_run(
    path: Path,
    corpus: Corpus,
    dropout: float = 0.2,
    weight_drop: float | None = None,
    hidden_size: int = 12,
    members: int = 1,
    **changes: object,
) -> Run:
    """A run of 20 steps; any field of the training may be given."""
    weight_drop = dropout / 2 if weight_drop is None else weight_drop
    model = ModelConfig(
        vocabulary_size=len(corpus.vocabulary),
        layers=2,
        hidden_size=hidden_size,
        embedding_size=8,
        dropout=dropout,
        weight_drop=weight_drop,
        members=members,
    )
    training = training_config(**changes)
    about = CorpusConfig(
        sources=["verse.txt"],
        unit="character",
        encoding="utf-8",
        fingerprint=corpus.fingerprint,
        characters=len(corpus),
    )
    return create_run(path, RunConfig(model=model, training=training, corpus=about), corpus.vocabulary)


@pytest.fixture
def make_run(tmp_path: Path, corpus: Corpus):
    """A function that makes a small run: `make_run("name", steps=20)`, of the short text or of a `source`."""

    def make(name: str = "run", source: Corpus | None = None, **changes: object) -> Run:
        return small_run(tmp_path / name, source or corpus, **changes)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def weights_of(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus):
    """A function that makes weights of a model, a vocabulary and parameters, as a run has them."""
    config = small_run(tmp_path_factory.mktemp("weights") / "run", corpus).config

    def make(model: ModelConfig, vocabulary: Vocabulary, params: nnx.State) -> Weights:
        return Weights(dataclasses.replace(config, model=model), vocabulary, params)

    return make


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Run:
    """A finished run that knows the short text well; look, do not touch."""
    path = tmp_path_factory.mktemp("trained") / "run"
    run = small_run(path, corpus, weight_drop=0.0, hidden_size=16, steps=120, learning_rate=3e-2)
    for _ in train(run, corpus):
        pass
    return run


@pytest.fixture
def save_random_model(tmp_path: Path, weights_of):
    """A function that saves a model that writes its vocabulary at random."""

    def make(vocabulary: Vocabulary) -> str:
        shape = ModelConfig(vocabulary_size=len(vocabulary), layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
        path = tmp_path / "model.safetensors"
        save_weights(path, weights_of(shape, vocabulary, initial_parameters(shape, 0)))
        return str(path)

    return make


@pytest.fixture(scope="session")
def browser() -> str:
    """A Chromium that runs; some systems have one that only says where to get it."""
    for name in filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        if subprocess.run([name, "--version"], capture_output=True, check=False).returncode == 0:
            return name
    pytest.skip("there is no chromium, chromium-browser or google-chrome to look at a page with")


@pytest.fixture
def strict_types():
    """No implicit conversions between types of arrays; Optax itself would not pass."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@contextlib.contextmanager
def compiled_for(backend: str) -> Iterator[None]:
    """Programs in the form that the compiler for `backend` is given; it is that for CPUs all the same."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jax, "default_backend", lambda: backend)
        yield


@pytest.fixture
def numbers() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(7)
