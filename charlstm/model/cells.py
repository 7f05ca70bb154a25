"""The three cells by their names, and how a layer of each begins."""

from collections.abc import Callable
from typing import NamedTuple

from charlstm.model.gru import GRU, GRUInside, gru_scan
from charlstm.model.lstm import LSTM, LSTMInside, LSTMState, lstm_scan
from charlstm.model.rnn import RNN, HiddenState, RNNInside, rnn_scan
from charlstm.model.scan import Cell, Scan

State = LSTMState | HiddenState
Inside = LSTMInside | GRUInside | RNNInside


class Kind(NamedTuple):
    """A cell, its fast scan, and its state before the first character, `zeros(batch_size, hidden_size)`.

    Its gate number `keeps` begins open, so that what is remembered stays.
    """

    cell: Cell
    scan: Scan
    zeros: Callable[[int, int], State]
    keeps: int | None = None
    has_recurrent_bias: bool = False


CELLS = {
    # Forget bias 1: a new belt keeps what lies on it (Jozefowicz, Zaremba & Sutskever 2015).
    "lstm": Kind(LSTM, lstm_scan, LSTMState.zeros, keeps=1),
    # With an update gate that begins open it learns worse (RESULTS.md).
    "gru": Kind(GRU, gru_scan, HiddenState.zeros, has_recurrent_bias=True),
    "rnn": Kind(RNN, rnn_scan, HiddenState.zeros),
}
