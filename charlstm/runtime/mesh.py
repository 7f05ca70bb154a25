"""The mesh of devices, and where things live on it: parameters everywhere, streams spread out.

One device is a mesh of one. The cores of a CPU are devices too: two cores with half the streams each are almost twice
as fast as two threads inside each of the small operations of a time step (tests/benchmarks/RESULTS.md).
"""

import jax
from jax import Array
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

STREAMS, MEMBERS = "streams", "members"
MIN_STREAMS = 4  # of a device: for fewer a second device does not pay
_SMALL = 2**18  # numbers; to copy larger arrays into one costs more than an all-reduce of their own


def make_mesh(batch_size: int, members: int = 1) -> Mesh:
    """As many devices as share `batch_size` streams evenly, at least four streams each.

    Of several `members` each group of devices has as many, which it trains one after the other; the more groups, the
    less devices have to tell each other.
    """
    devices = jax.local_devices()

    def sharing(available: int) -> int:
        maximum = min(available, max(1, batch_size // MIN_STREAMS))
        return next(n for n in range(maximum, 0, -1) if batch_size % n == 0)

    if members == 1:
        count = sharing(len(devices))
        return jax.make_mesh((count,), (STREAMS,), axis_types=(AxisType.Auto,), devices=devices[:count])
    even = (groups for groups in range(1, len(devices) + 1) if members % groups == 0)
    shapes = ((groups, sharing(len(devices) // groups)) for groups in even)
    groups, count = max(shapes, key=lambda shape: (shape[0] * shape[1], shape[0]))
    axes = (AxisType.Auto,) * 2
    return jax.make_mesh((groups, count), (MEMBERS, STREAMS), axis_types=axes, devices=devices[: groups * count])


def replicate(mesh: Mesh, tree):
    """Put a tree of arrays whole on every device."""
    return jax.device_put(tree, NamedSharding(mesh, P()))


def shard_streams(mesh: Mesh, tree, axis: int = 0):
    """Spread a tree of arrays over the devices along its axis of streams."""
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
