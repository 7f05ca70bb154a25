"""How fast a text is sampled."""

import time


class Meter:
    """Counts characters, and how many of them there are a second, from its making on."""

    def __init__(self) -> None:
        self.characters = 0
        self._start = time.perf_counter()

    def __str__(self) -> str:
        speed = self.characters / (time.perf_counter() - self._start)
        return f"{self.characters:,} characters, {speed:,.0f} characters/s,"
