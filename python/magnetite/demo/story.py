"""What the demo's figures mean, said beside them."""

from collections.abc import Iterator

from magnetite.evaluate import Difference, Report

UNTRAINED = "built-in encoder"
TITLES = "+ titles, no labels"
CLAIMS = "+ training claims"


def remarks(report: Report) -> Iterator[str]:
    """Yield what each step taught, as far as its interval allows one to say."""
    everyone, unseen, seen = report.groups
    changes = {(row.system, row.group): row.change for row in report.rows() if row.change}
    if titles := changes.get((TITLES, everyone)):
        yield (
            "Titles. The encoder learnt which abstract goes with which title. It looked at no "
            "claim and no judgement, only at the corpus, which everybody who searches one has. "
            f"{_verdict(titles, 'all claims')}"
        )
    if claims := changes.get((CLAIMS, everyone)):
        at_unseen, at_seen = changes[CLAIMS, unseen], changes[CLAIMS, seen]
        yield (
            f"Claims. {at_seen.queries} of the {claims.queries} test claims ask for an abstract "
            "that a training claim asks for as well. On those, training on claims mostly teaches "
            f"which abstracts get asked about ({at_seen.mean:+.3f}). What it taught about "
            f"searching shows on the {at_unseen.queries} others ({at_unseen.mean:+.3f}). "
            f"{_verdict(at_unseen, 'them')} One figure over all claims would hide this."
        )


def _verdict(change: Difference, who: str) -> str:
    interval = f"[{change.low:+.3f}, {change.high:+.3f}]"
    if change.sign > 0:
        return f"The gain on {who} is more than luck: its interval {interval} lies above 0."
    if change.sign < 0:
        return f"It lost on {who}: the interval {interval} lies below 0."
    if not change.low <= 0 <= change.high:
        return f"The interval on {who}, {interval}, barely clears 0 (p {change.p:.3f}): a hint."
    return f"The interval on {who}, {interval}, holds 0: this many claims cannot tell it from luck."
