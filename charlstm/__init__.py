"""charlstm: a character-level LSTM language model that trains, samples and evaluates text.

Importing this package does not import JAX; the modules that compute do.
"""

__version__ = "0.1.0"
