"""Measures the recipe of a model on the digits, and writes the table of docs/models.md.

    python -m benchmarks.models resnet18              train and evaluate it in a fresh clone; keep the row
    python -m benchmarks.models vgg11 experiment=digits_32
    python -m benchmarks.models                       write the table from benchmarks/models.csv

A recipe is `model=NAME` and the overrides that follow the name. It is trained once, without a search. The
epoch is chosen on the 270 validation images, and the accuracy is that of the 359 test images. Trainings on
the digits are portable, so everybody measures the same accuracies; seconds are those of one core. Recipes
with `train.precision=auto` in the table were measured on a GPU.
"""

import argparse
import csv
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.clones import ROOT, best_accuracy, make_clone, run
from src.config.loading import group_choices, load_conf
from src.config.schema.model import ModelConfig
from src.core.errors import AssayError
from src.models.build import build_model, smallest_side
from src.models.networks.stems import SMALL
from src.models.size import count_parameters

MEASURED = ROOT / "benchmarks/models.csv"
PAGE = ROOT / "docs/models.md"
BEGIN, END = "<!-- table: python -m benchmarks.models -->\n", "<!-- end of the table -->\n"
COLUMNS = ["model", "recipe", "val", "test", "seconds"]
# For tests, for models that have no file, and what needs pretrained weights: see docs/transfer.md.
LEFT_OUT = {"cnn_tiny", "timm", "torchvision", "linear_probe", "svm", "knn"}
HEAD = """\
| model | parameters | smallest image | recipe on the digits | validation | test | CPU, s |
| --- | --- | --- | --- | --- | --- | --- |
"""


def main() -> None:
    """Measure one recipe, or write the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.models", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", nargs="?")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    rows = {row["model"]: row for row in csv.DictReader(MEASURED.open(encoding="utf-8"))}
    if arguments.model:
        rows[arguments.model] = measure(arguments.model, arguments.overrides)
        _write_rows(rows)
    _write_table(rows)


def _write_rows(rows: Mapping[str, Mapping[str, str]]) -> None:
    with MEASURED.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[name] for name in sorted(rows))


def _write_table(rows: Mapping[str, Mapping[str, str]]) -> None:
    names = [name for name in group_choices("model") if name not in LEFT_OUT]
    table = HEAD + "".join(_line(name, rows.get(name)) for name in names)
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + table + END + rest.split(END)[1], encoding="utf-8")


def measure(model: str, overrides: Sequence[str]) -> dict[str, str]:
    """Train and evaluate what is committed, in a fresh clone."""
    recipe = [f"model={model}", *overrides]
    with tempfile.TemporaryDirectory() as folder:
        clone = make_clone(Path(folder))
        run(clone, "python", "-m", "src.compose", "sweep=none", *recipe)
        run(clone, "dvc", "repro", "normalize", "sweep")
        before = os.times()
        run(clone, "python", "-m", "src.train")
        after = os.times()
        run(clone, "python", "-m", "src.evaluate")
        test = json.loads((clone / "reports/evaluate/summary.json").read_text())["accuracy"]
        val = best_accuracy(clone / "models/base/history.csv")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return dict(
        zip(COLUMNS, [model, " ".join(recipe), f"{val:.4f}", f"{test:.4f}", f"{used:.0f}"], strict=True)
    )


def _line(name: str, row: Mapping[str, str] | None) -> str:
    """A line of the table, for gray images."""
    model = load_conf([f"model={name}"]).config.model
    least = _smallest(model)
    parameters = count_parameters(build_model(model, 1, 10, (least, least)))
    values = row or dict.fromkeys(COLUMNS, "") | {"recipe": "not measured"}
    recipe = f"`{values['recipe']}`" if row else values["recipe"]
    measured = [values[column] for column in ("val", "test", "seconds")]
    cells = [f"`{name}`", f"{parameters:,}", str(least), recipe, *measured]
    return f"| {' | '.join(cells)} |\n"


def _smallest(model: ModelConfig) -> int:
    """Pixels a side of the smallest square image with a small stem."""
    least = smallest_side(build_model(model, 1, 10, (SMALL, SMALL)), 1)
    assert least is not None
    return least if least < SMALL else next(side for side in range(1, SMALL + 1) if _fits(model, side))


def _fits(model: ModelConfig, side: int) -> bool:
    """For networks that are built for one size of images and take no other."""
    try:
        build_model(model, 1, 10, (side, side))
    except AssayError:
        return False
    return True


if __name__ == "__main__":
    main()
