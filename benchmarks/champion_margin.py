"""Does the margin hold on test images? The champion of the digits against its base, for many seeds.

    python -m benchmarks.champion_margin [--seeds 20] [--first 0] [--quick]

Each seed has another split, another search and another base; the champion is chosen on the validation images
as in `dvc repro`, as the first of its name. The test images decide nothing, so their loss tells how much the
choice has really cost. Prints a line for each seed, and in how many the loss is within the margin.

A seed takes about three minutes on 2 idle cores; with --quick, which skips the search, about one.
Expected: within the margin in at least 19 of 20.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.clones import make_clone, run
from src.leaderboard.table.rows import read_rows


def main() -> None:
    """Run the seeds one after the other in one clone, and count."""
    parser = argparse.ArgumentParser("python -m benchmarks.champion_margin", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--quick", action="store_true", help="train the base with the defaults, unsearched")
    arguments = parser.parse_args()
    overrides = ["sweep=none"] if arguments.quick else []
    within = 0
    with tempfile.TemporaryDirectory() as folder:
        clone = make_clone(Path(folder))
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            variant, loss, margin = _champion(clone, seed, overrides)
            within += loss <= margin
            print(f"seed {seed:>2}  {variant:<20} loss on test {100 * loss:+.2f} points", flush=True)
    print(f"within the margin of {100 * margin:g} points: {within} of {arguments.seeds}")


def _champion(clone: Path, seed: int, overrides: Sequence[str]) -> tuple[str, float, float]:
    """The champion's variant, its loss on the test images against the base, and the margin."""
    run(clone, "python", "-m", "src.compose", f"seed={seed}", f"register.name=seed-{seed}", *overrides)
    run(clone, "dvc", "repro", "register")
    decision = json.loads((clone / "reports/register/decision.json").read_text())
    if decision["decision"] != "champion":
        raise SystemExit(f"seed {seed}: no champion: {decision['promotion'] or decision['reason']}")
    rows = {row.name: row for row in read_rows(clone / "reports/compare/variants.csv")}
    loss = -rows[decision["variant"]].metrics["test/accuracy/change"]
    return decision["variant"], loss, decision["policy"]["margin"]


if __name__ == "__main__":
    main()
