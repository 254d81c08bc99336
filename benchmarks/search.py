"""Measures the search: what a trial costs beside its training, what a second worker and pruning save.

    python -m benchmarks.search overhead     marginal cost of a trial whose training takes no time. 1 minute
    python -m benchmarks.search workers      40 trials on the digits, 1 worker against 2. 7 minutes
    python -m benchmarks.search hyperband    24 trials of up to 6 epochs on 15,000 images of Fashion-MNIST,
                                             with and without pruning. About 12 minutes; with --method tpe
                                             the pruning also changes what is proposed

Each works in a fresh clone. Expected on 2 cores: 100 ms or less; 1.7 times the trials a minute or more;
half the epochs or less for an accuracy within half a point.
"""

import argparse
import csv
import json
import shutil
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

from benchmarks.clones import few_images, make_clone, run

FEW, MANY = 20, 120  # trials: their difference leaves out what a search costs once


SPACE = "{train.optimizer.lr:'tag(log,interval(0.0003,0.03))',train.label_smoothing:'interval(0,0.3)'}"
SEARCH = (
    *("sweep=default", "sweep.trials=24", "sweep.batch=2", "sweep.pruner=none", f"+sweep.space={SPACE}"),
    "sweep.proxy={train.epochs:6}",
)


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser("python -m benchmarks.search", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    measures = {"overhead": overhead, "workers": workers, "hyperband": hyperband}
    parser.add_argument("measure", choices=measures)
    parser.add_argument("--method", default="random", help="of hyperband: random proposes the same to both")
    arguments = parser.parse_args()
    measures[arguments.measure](arguments)


def overhead(_: argparse.Namespace) -> None:
    """Milliseconds a trial: proposing, a worker's round trip, journal, files, and MLflow."""
    with tempfile.TemporaryDirectory() as folder:
        clone = make_clone(Path(folder))
        run(clone, "dvc", "repro", "normalize")
        _instant(clone, 1)  # makes MLflow's database
        seconds = {count: _instant(clone, count) for count in (FEW, MANY)}
    each = 1000 * (seconds[MANY] - seconds[FEW]) / (MANY - FEW)
    print(f"{FEW} trials {seconds[FEW]:.1f} s, {MANY} trials {seconds[MANY]:.1f} s: {each:.0f} ms a trial")


def workers(_: argparse.Namespace, rounds: int = 3) -> None:
    """Trials a minute with two workers against one, one thread each: while trials run, and with start-up."""
    with tempfile.TemporaryDirectory() as folder:
        clone = make_clone(Path(folder))
        run(clone, "dvc", "repro", "normalize")
        measured = [[_search_and_span(clone, seed, jobs) for jobs in (1, 2)] for seed in range(rounds)]
    for name, which in (("trials alone", 1), ("whole command", 0)):
        pairs = [(one[which], two[which]) for one, two in measured]
        shown = ", ".join(f"{one:.1f} against {two:.1f} s" for one, two in pairs)
        print(f"{name:<14} median ratio {statistics.median(one / two for one, two in pairs):.2f} of {shown}")


def hyperband(arguments: argparse.Namespace) -> None:
    """Best validation accuracy and epochs trained, with and without pruning."""
    with tempfile.TemporaryDirectory() as folder:
        clone = make_clone(Path(folder))
        settings = [*few_images(clone), "model.widths=[16,32,64]", *SEARCH]
        run(clone, "python", "-m", "src.compose", *settings)
        run(clone, "dvc", "repro", "normalize")
        for pruner in ("none", "hyperband"):
            seconds = _search(clone, *settings, f"sweep.method={arguments.method}", f"sweep.pruner={pruner}")
            place = max((clone / "outputs/sweep").iterdir())
            with (place / "trials.csv").open(encoding="utf-8") as file:
                trials = list(csv.DictReader(file))
            done = [float(trial["val/accuracy"]) for trial in trials if trial["state"] == "complete"]
            epochs = sum(int(trial["epochs"]) for trial in trials if not trial["reused"])
            print(
                f"{pruner:<10} best {max(done):.4f}, {epochs} epochs, {len(done)} complete, {seconds:.0f} s",
                flush=True,
            )


def _instant(clone: Path, trials: int) -> float:
    """Seconds of a search by ``benchmarks.instant_search``."""
    begin = time.perf_counter()
    run(clone, "python", "-m", "benchmarks.instant_search", "sweep.n_jobs=1", f"sweep.trials={trials}")
    return time.perf_counter() - begin


def _search(clone: Path, *overrides: str) -> float:
    """Seconds of an ad-hoc search from its first trial: an equal one would reuse finished trials."""
    shutil.rmtree(clone / ".assay/state/sweep", ignore_errors=True)
    begin = time.perf_counter()
    run(clone, "python", "-m", "src.sweep", *overrides)
    return time.perf_counter() - begin


def _search_and_span(clone: Path, seed: int, jobs: int) -> tuple[float, float]:
    """Seconds of the whole command, and from the beginning of its first trial to the end of its last."""
    shutil.rmtree(clone / ".assay/journal", ignore_errors=True)
    seconds = _search(clone, f"seed={seed}", f"sweep.n_jobs={jobs}", "sweep.trials=40")
    records = [json.loads(path.read_text()) for path in (clone / ".assay/journal").glob("*/*/run.json")]
    trials = [record for record in records if record["stage"] == "trial"]
    begin, end = min(trial["started"] for trial in trials), max(trial["ended"] for trial in trials)
    return seconds, (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


if __name__ == "__main__":
    main()
