"""What came of some training steps, on the host."""

from typing import NamedTuple


class Collected(NamedTuple):
    """Of some steps: `steps` that counted with the sum of their losses, and all others.

    Several members, or processes, make as many steps each; the norm is the mean of theirs.
    """

    loss: float = 0.0
    steps: int = 0
    gradient_norm: float = 0.0
    clipped: int = 0
    skipped: int = 0

    def then(self, later: "Collected") -> "Collected":
        """These steps and later ones; the norm is that of the last one that counted."""
        norm = later.gradient_norm if later.steps else self.gradient_norm
        return self._add(later, norm)

    def beside(self, others: "list[Collected]") -> "Collected":
        """These steps and those that other processes have made at the same time."""
        norms = [each.gradient_norm for each in (self, *others) if each.steps]
        total = self
        for each in others:
            total = total._add(each, 0.0)
        return total._replace(gradient_norm=sum(norms) / len(norms) if norms else 0.0)

    def _add(self, other: "Collected", norm: float) -> "Collected":
        return Collected(
            self.loss + other.loss, self.steps + other.steps, norm, self.clipped + other.clipped,
            self.skipped + other.skipped,
        )  # fmt: skip
