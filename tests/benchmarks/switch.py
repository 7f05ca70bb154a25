"""A switch at the end of long cables: every Ethernet frame arrives so much later (Linux, as root).

What `tc netem delay` does, for kernels that have no netem: the machines' network devices are TAP devices, and what one
of them sends is read here, kept, and written to the one that it is for.
"""

import os
import select
import struct
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from fcntl import ioctl

_SET_NAME = 0x400454CA  # TUNSETIFF
_TAP_WITHOUT_HEADER = 0x1002
_MOST = 2**16  # bytes of a frame


def plug(name: str) -> int:
    """A new network device, and the file that has what is sent by it; it may move to any namespace."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    ioctl(tap, _SET_NAME, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
    return tap


def forward(taps: Sequence[int], delay: float) -> None:
    """Carry frames from device to device, each for `delay` seconds, for ever."""
    devices = dict[bytes, int]()  # by their addresses, as they were seen
    waiting = deque[tuple[float, int, bytes]]()
    while True:
        wait = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for tap in select.select(taps, [], [], wait)[0]:
            frame = os.read(tap, _MOST)
            receiver, sender = frame[:6], frame[6:12]
            devices[sender] = tap
            for other in [devices[receiver]] if receiver in devices else taps:  # also what is for all
                if other != tap:
                    waiting.append((time.monotonic() + delay, other, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, tap, frame = waiting.popleft()
            with suppress(OSError):  # a device that is not up, or that cannot take more: as on a cable, it is lost
                os.write(tap, frame)
