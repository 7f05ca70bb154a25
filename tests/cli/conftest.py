"""What the tests of commands share."""

from pathlib import Path

import pytest

from charlstm.config import ModelConfig
from charlstm.model.parameters import initial_parameters
from charlstm.runs.weights import save_weights
from charlstm.text.vocabulary import Vocabulary


@pytest.fixture
def model(tmp_path: Path, weights_of):
    """A function that saves a model that writes its vocabulary at random."""

    def make(vocabulary: Vocabulary) -> str:
        shape = ModelConfig(vocabulary_size=len(vocabulary), layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
        path = tmp_path / "model.safetensors"
        save_weights(path, weights_of(shape, vocabulary, initial_parameters(shape, 0)))
        return str(path)

    return make
