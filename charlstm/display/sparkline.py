"""A curve as a line of block characters."""

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int, scale: tuple[float, float] | None = None) -> str:
    """A curve as block characters: high is bad. It fills `scale`, (low, high), or its own range.

    Then its first tenth, where the loss falls fast, may be off the scale.
    """
    if not values:
        return ""
    bins = min(width, len(values))
    parts = (values[k * len(values) // bins : (k + 1) * len(values) // bins] for k in range(bins))
    means = [sum(part) / len(part) for part in parts]
    low, high = scale or usual_range(means)
    shares = (max(0.0, min(1.0, (mean - low) / ((high - low) or 1.0))) for mean in means)
    return "".join(BLOCKS[round(share * (len(BLOCKS) - 1))] for share in shares)


def usual_range(values: list[float]) -> tuple[float, float]:
    """The lowest value, and the highest after the first tenth."""
    return min(values), max(values[len(values) // 10 :])
