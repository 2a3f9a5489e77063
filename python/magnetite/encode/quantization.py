"""What was measured of an encoder's quantized graphs, and which of them may stand in for fp32."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

LEAST_SPEED = 1.05
"""Times that of fp32. Below it lies what one measurement differs from the next by."""
MOST_APART = 1e-6
"""Between a text's vector alone and in a batch, a coordinate: what `Encoder.encode` promises."""
LEAST_COSINE = 0.98
"""Of a text's vector to that of fp32."""
MOST_LOSS = 0.005
"""Of nDCG@10."""

CHOSEN = "chosen"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of one quantized graph."""

    name: str
    speed: float
    """Times that of fp32: median over rounds in which every graph ran the same batches."""
    apart: float
    """Largest difference of a coordinate between a text alone and in a batch."""
    cosine: float
    """Smallest to the vectors of fp32."""
    mean_cosine: float
    loss: float | None = None
    """nDCG@10 of fp32 less its own; None if it was not judged."""
    verdict: str = ""
    """`chosen`, or why not."""

    def refusal(self, least_speed: float = LEAST_SPEED) -> str | None:
        """Return why it may not be chosen; None if nothing that was measured forbids it."""
        loss = 0.0 if self.loss is None else self.loss
        bounds = (  # so that a NaN is refused
            (self.speed >= least_speed, f"below {least_speed:g} times the speed of fp32"),
            (self.apart <= MOST_APART, f"a batch moves a coordinate by more than {MOST_APART:g}"),
            (self.cosine >= LEAST_COSINE, f"a cosine to fp32 is below {LEAST_COSINE:g}"),
            (loss <= MOST_LOSS, f"loses more than {MOST_LOSS:g} of nDCG@10"),
        )
        return next((reason for held, reason in bounds if not held), None)


def choose(
    found: Sequence[Figures], judge: Callable[[str], float], least_speed: float = LEAST_SPEED
) -> tuple[str | None, list[Figures]]:
    """Return the name of the fastest graph that may be chosen, if any, and all figures.

    Args:
        found: Figures of each, not judged yet.
        judge: The loss of nDCG@10 of the graph of that name. It takes minutes, so the fastest is
            asked for first, and none after one that may be chosen.
        least_speed: Times that of fp32.

    Returns:
        The name, and the figures with their verdicts, fastest first.
    """
    chosen, listed = None, []
    for one in sorted(found, key=lambda one: (-one.speed, one.name)):
        judged = one
        why = one.refusal(least_speed)
        if why is None and chosen is not None:
            why = "slower than the chosen one"
        elif why is None:
            judged = replace(one, loss=judge(one.name))
            why = judged.refusal(least_speed)
            chosen = one.name if why is None else None
        listed.append(replace(judged, verdict=why or CHOSEN))
    return chosen, listed


def table(quantization: dict[str, Any]) -> str:
    """Return what artifact.json says of quantized graphs, as lines to read."""
    rows = [("graph", "speed", "alone", "cosine", "mean", "lost", "")]
    kept = "kept" if quantization["chosen"] is None else ""
    rows.append(("fp32", "1.00", "", "", "", "", kept))
    for said in quantization["candidates"]:
        one = Figures(**said)
        lost = "" if one.loss is None else f"{one.loss:+.4f}"
        cosines = f"{one.cosine:.4f}", f"{one.mean_cosine:.4f}"
        rows.append((one.name, f"{one.speed:.2f}", f"{one.apart:.0e}", *cosines, lost, one.verdict))
    lines = [f"measured on {quantization['cpu']}; nDCG@10 lost of {quantization['judged']}"]
    for name, *numbers, verdict in rows:
        lines.append(f"{name:16}" + "".join(f"{one:>9}" for one in numbers) + f"  {verdict}")
    return "\n".join(line.rstrip() for line in lines)
