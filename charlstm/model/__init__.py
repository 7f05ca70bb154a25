"""The network. In reading order:

lstm         the recurrence: the textbook's step and scan, and the fast scan with its own gradient
network      embedding, layers and head, as Flax NNX modules
loss         cross-entropy
parameters   fresh ones, those of a grown vocabulary, and each of them by its name
dropout      masks for outputs and recurrent weights
"""
