"""The mesh of devices, and where things live on it: parameters everywhere, streams spread out.

One device is a mesh of one. The cores of a CPU are devices too: two cores with half the streams each are almost twice
as fast as two threads inside each of the small operations of a time step (tests/benchmarks/RESULTS.md).
"""

import jax
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

STREAMS, MEMBERS = "streams", "members"
MIN_STREAMS = 4  # of a device: for fewer a second device does not pay
_SMALL = 2**18  # numbers; to copy larger arrays into one costs more than an all-reduce of their own


def sharing(streams: int, devices: int) -> int:
    """How many of the `devices` share so many streams evenly, at least four streams each."""
    maximum = min(devices, max(1, streams // MIN_STREAMS))
    return next(n for n in range(maximum, 0, -1) if streams % n == 0)


def make_mesh(streams: int, *, processes: int = 1, members: int = 1) -> Mesh:
    """As many devices as share so many streams, which are read at once.

    They are those of this process or, of several processes, as many of each, in the order of the processes. Of several
    `members` each group of devices has as many, which it trains one after the other; the more groups, the less devices
    have to tell each other.
    """
    if processes > 1:
        of_process = [[d for d in jax.devices() if d.process_index == number] for number in range(processes)]
        count = sharing(streams // processes, min(map(len, of_process)))
        chosen = np.array([devices[:count] for devices in of_process])
        return Mesh(chosen.reshape(-1), (STREAMS,), axis_types=(AxisType.Auto,))
    devices = jax.local_devices()
    if members == 1:
        count = sharing(streams, len(devices))
        return jax.make_mesh((count,), (STREAMS,), axis_types=(AxisType.Auto,), devices=devices[:count])
    even = (groups for groups in range(1, len(devices) + 1) if members % groups == 0)
    shapes = ((groups, sharing(streams, len(devices) // groups)) for groups in even)
    groups, count = max(shapes, key=lambda shape: (shape[0] * shape[1], shape[0]))
    axes = (AxisType.Auto,) * 2
    return jax.make_mesh((groups, count), (MEMBERS, STREAMS), axis_types=axes, devices=devices[: groups * count])


def replicate(mesh: Mesh, tree):
    """Put a tree of arrays whole on every device; on a mesh of several processes, that of the first one.

    There it is a sum to which the first device alone adds more than zeros, so that all have it bit for bit.
    """
    if not mesh.is_multi_process:
        return jax.device_put(tree, NamedSharding(mesh, P()))
    own = len(mesh.local_devices)
    is_first = mesh.devices.flat[0].process_index == jax.process_index()

    def rows(leaf):
        """One for each device of this process."""
        rows = np.zeros((own, *leaf.shape), leaf.dtype)
        if is_first:
            rows[0] = leaf
        return jax.make_array_from_process_local_data(NamedSharding(mesh, P(STREAMS)), rows)

    return jax.jit(_sums, out_shardings=NamedSharding(mesh, P()))(jax.tree.map(rows, tree))


def _sums(tree):
    return jax.tree.map(lambda rows: rows.sum(0, rows.dtype), tree)


def gather(mesh: Mesh, tree):
    """Arrays of a mesh of several processes, whole, as arrays of this one; all of them call this."""
    return own_copy(relaid(mesh, tree, P()))


def relaid(mesh: Mesh, tree, spec: P):
    """Arrays of a mesh of several processes, laid out on it in another way; all of them call this."""
    return jax.jit(_same, out_shardings=NamedSharding(mesh, spec))(tree)  # one function, compiled once


def _same(tree):
    return tree


def own_copy(tree):
    """Arrays that are whole on every device, as arrays of this process alone."""
    return jax.tree.map(lambda leaf: leaf if leaf.is_fully_addressable else leaf.addressable_data(0), tree)


def shard_streams(mesh: Mesh, tree, axis: int = 0):
    """Spread a tree of arrays over the devices along its axis of streams.

    On a mesh of several processes each gives the streams that it reads itself.
    """
    if mesh.is_multi_process:
        spread = NamedSharding(mesh, P(*[None] * axis, STREAMS))
        return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(spread, np.asarray(leaf)), tree)
    # On one device a step's results come back as P(); the same from the start saves compiling the step twice.
    spec = P(*[None] * axis, STREAMS) if mesh.size > 1 else P()
    return jax.device_put(tree, NamedSharding(mesh, spec))


def own_streams(local: int) -> Array:
    """Inside a sharded function: the numbers of the `local` streams that this device reads, int32 `[local]`."""
    return jax.lax.axis_index(STREAMS) * local + jax.numpy.arange(local)


def pmean_tree(tree):
    """Inside a sharded function: the mean of each array over all devices.

    An all-reduce costs a CPU about 0.07 ms for each array, so all small ones go as one (2x128 in bfloat16: +5%).
    """
    leaves, structure = jax.tree.flatten(tree)
    large = {index: leaf for index, leaf in enumerate(leaves) if leaf.size >= _SMALL}
    flat, unravel = ravel_pytree([leaf for index, leaf in enumerate(leaves) if index not in large])
    flat, large = jax.lax.pmean((flat, large), STREAMS)
    small = iter(unravel(flat))
    return jax.tree.unflatten(structure, [large[i] if i in large else next(small) for i in range(len(leaves))])
