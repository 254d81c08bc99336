"""Where the stages leave their results, relative to the folder that a stage runs in."""

from pathlib import Path

RAW = Path("data/raw")
INGEST = Path("data/ingest")
SPLIT = Path("data/split")
NORMALIZE = Path("data/normalize")
WEIGHTS = Path("data/weights")
# What a training reads, by the names that src.training.task.read_task gives them.
TRAINING = {"ingest": INGEST, "split": SPLIT, "normalize": NORMALIZE, "weights": WEIGHTS}
MODELS = Path("models")
BASE = MODELS / "base"
EVALUATE = Path("reports/evaluate")
COMPARE = Path("reports/compare")
BENCHMARK = Path("reports/benchmark")
REGISTER = Path("reports/register")
LOGS = Path("outputs/logs")  # of Lightning's loggers, in the repository; not tracked
