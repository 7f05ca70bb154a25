"""What the last bits of a result depend on beside the settings; a run that goes on under others says so."""

import jax

from charlstm import __version__
from charlstm.config import TrainingConfig
from charlstm.runtime.mesh import make_mesh
from charlstm.runtime.processor import processor


def conditions(training: TrainingConfig, members: int = 1, processes: int = 1) -> dict[str, str]:
    """Those of this program and machine, by name."""
    device = jax.local_devices()[0]
    return {
        "charlstm": __version__,
        "jax": jax.__version__,
        "processor": processor() if device.platform == "cpu" else device.device_kind,
        "devices": str(make_mesh(training.streams_at_once, processes=processes, members=members).size),
        "processes": str(processes),
        "parts of a step": str(training.accumulate),
        "chunks of a window": str(training.chunk_length or "none"),
    }


def differences(before: dict[str, str], now: dict[str, str]) -> str:
    """A sentence on what has changed, and what this means; empty if nothing has, or if `before` is not known."""
    changed = [f"{name} {before[name]}, now {now[name]}" for name in now if before.get(name, now[name]) != now[name]]
    if not changed:
        return ""
    return (
        f"saved under {'; '.join(changed)}: settings, text, random numbers and the saved state are exactly the "
        "same, but sums may be rounded in another order, so that the result can differ in its last bits"
    )
