"""What is on the disk. In reading order:

header       settings and vocabulary as JSON; needs no JAX
folder       the folder of a run: names, settings, reports; needs no JAX
finding      which run is meant; needs no JAX
tensors      safetensors with a digest; needs no JAX
metrics      the reports of a run
lock         one process at a time writes to a run
weights      parameters with the settings and the vocabulary that they belong to
checkpoints  what resuming needs, bit for bit
texts        the texts that a user names, and those that a run remembers
card         what is known of a run without running it
"""
