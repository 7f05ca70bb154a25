"""The network. In reading order:

lstm         the equations of the cell, as in the textbook and with their gradient
gru          another one, to compare it with
rnn          and one without gates
scan         all time steps of a cell: as JAX differentiates them, and fast, with the cell's own gradient
products     kernels times inputs, and the order of axes in which they are fast
compilers    what the loops owe to the compiler for CPUs, and to that for GPUs
cells        the cells by their names
network      embedding, layers and head, as Flax NNX modules
members      networks that predict together: the mean of their probabilities
counts       n-grams and words in tables, and what they say
pool         the network and the counts: one distribution
loss         cross-entropy
parameters   fresh ones, those of a grown vocabulary, and each of them by its name
dropout      masks for outputs and recurrent weights
"""
