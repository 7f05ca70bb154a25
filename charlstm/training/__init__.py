"""Training: from what a user asks for to the events of a run. In reading order:

start        options -> a run with its text, its settings and its folder
plan         closes what was left open, by measuring the machine
choices      sizes, rates, dropout for a machine of known speed
shapes       streams and windows of a step
machine      how fast this machine is, by the step itself
footprint    how much memory a step takes, before it is tried
division     over which devices and into which parts the work of a step is divided
parts        a step in parts: some streams, or some characters of a window, at a time
decisions    what process 0 decides for all processes of a run
collected    what came of some steps
steps        the jitted steps, and what makes them one after the other
local_steps  steps that processes make apart, until they average
averaging    what becomes of their parameters then
optimizer    the learning rate, and the Optax chain
muon         orthogonal updates for the kernels of the gates
journal      what a run remembers between steps: schedule, best score, what is due
clock        the time that a run has taken, and what is left of its budget
conditions   what the last bits of a result depend on beside the settings
ngrams       the n-grams of the text, to stand beside the network
counting     their place at the end of a run
saver        in which order a run is saved, so that nothing is lost
resuming     going on from a checkpoint
session      what one call of `train` works with
loop         `train`, a generator of events
following    the same as every process but process 0 does it
"""
