"""charlstm: a character-level LSTM language model that trains, samples and evaluates text.

    model = charlstm.train("novel.txt", minutes=3, run="runs/novel")
    model = charlstm.load("runs/novel")
    print(model.sample("The tide", length=500))

Importing this package does not load JAX; the first call of `train` or `load` does.
"""

__version__ = "0.1.0"

from charlstm import events
from charlstm.errors import (
    CharLSTMError,
    ConfigError,
    CorpusError,
    DownloadError,
    MemoryLimitError,
    RunError,
    StorageError,
    TrainingError,
    VocabularyError,
)
from charlstm.language_model import LanguageModel, load
from charlstm.score import Evaluation, Score
from charlstm.studies import card, compare, memory
from charlstm.trainer import train

__all__ = [
    "CharLSTMError",
    "ConfigError",
    "CorpusError",
    "DownloadError",
    "Evaluation",
    "LanguageModel",
    "MemoryLimitError",
    "RunError",
    "Score",
    "StorageError",
    "TrainingError",
    "VocabularyError",
    "card",
    "compare",
    "events",
    "load",
    "memory",
    "train",
]
