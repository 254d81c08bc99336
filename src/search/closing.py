"""The end of a trial in the journal."""

from dataclasses import asdict

from src.provenance.hashes import text_hash
from src.provenance.journal import Attempt
from src.search.records import Outcome


def close_attempt(attempt: Attempt, outcome: Outcome) -> None:
    """Tell the journal what came of a trial."""
    tags = {"trial.state": outcome.state} | ({"trial.reason": outcome.reason} if outcome.reason else {})
    attempt.update(metrics=outcome.figures, tags=tags, outputs={"outcome": text_hash(asdict(outcome))})
    failed = outcome.state == "failed"
    attempt.close("FAILED" if failed else "FINISHED", outcome.reason if failed else None)
