"""A worker process for the tests of shared studies.

python -m tests.support.shared_worker URL STUDY LOG SECONDS_A_TRIAL
"""

import json
import os
import sys
import time
from pathlib import Path

from src.search.distributed.storage import Heartbeat
from src.search.distributed.study import work
from src.search.engine.pruning import Pruning
from src.search.engine.records import Proposal, TrialResult

FAST = Heartbeat(heartbeat=1, grace=3, poll=0.2)


def main(url: str, study: str, log: Path, seconds: float) -> None:
    """Work until the study has ended; a line of ``log`` for each trial that is begun."""

    def evaluate(proposal: Proposal, pruning: Pruning) -> TrialResult:
        entry = {"process": os.getpid(), "number": proposal.number, "settings": proposal.settings}
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        time.sleep(seconds)
        return TrialResult("complete", {"val/accuracy": 1 - (proposal.settings["x"] - 0.3) ** 2}, {}, 1)

    work(study, url, evaluate, lambda progress: None, print, FAST)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
