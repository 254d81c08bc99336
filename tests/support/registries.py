"""What lies in the working folder when `register` runs, for the tests of the registry: real, but tiny."""

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray

from src.config.loading import LoadedConfig, read_params
from src.config.validation import validate_config
from src.core.csv_files import write_csv
from src.core.hashing import file_hash, json_hash
from src.core.metric_names import nest
from src.leaderboard.table.rows import LeaderboardRow
from src.pipeline.execution import StageRun
from src.pipeline.job import Job
from src.provenance.dvc_yaml import StageDefinition
from src.provenance.lineage import Lineage
from src.register import build
from src.registry.decisions import Registration, Ruling, append_decisions
from src.registry.registered_model import HISTORY, RegisteredModelView
from src.tracking.live import Tracker
from src.tracking.mlflow_store import connect
from tests.support.journals import CLASSES, SIZE, begin, compressed, lineage_of
from tests.support.workspaces import ROOT

IMAGES, TRAIN, VAL, TEST = 120, range(60), range(60, 100), range(100, 120)
# Tags that hold when something was decided, or the name of a statement, which holds when a model was made.
MOMENTS = {"promotion.time", "registered", "provenance", "record"}
SHADES = (20, 128, 235)  # that the models of journals.make_variant call circle, cross and dot
BASE_ERRORS = range(60, 69)  # validation images that the base gets wrong
MADE = {"train": "one", "evaluate": "evaluate", "compare": "compare"}  # stage: name of its lineage


@dataclass
class KnownLineages:
    """Answers like a LineageGraph, without a pipeline that made the stages."""

    folder: Path
    values: dict[str, Any]
    lineages: dict[str, str]

    def parameters_of(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        return {}

    def stage(self, name: str) -> StageDefinition:
        return StageDefinition(name, f"python -m src.{name.replace('@', ' ')}", (), (), (), False, True)

    def of_result(self, name: str) -> str:
        return self.lineages[name]


class Workspace:
    """A working folder with data, variants and reports, and the repository ``root`` of its journal."""

    def __init__(self, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(ROOT)
        config = validate_config(read_params(), "params.yaml")
        self.config = config.model_copy(update={"data": config.data.model_copy(update={"name": "shapes"})})
        # of 40 validation images and two or three variants, a loss of four is within it, one of five is not
        self.configure(name="shapes", margin=0.25)
        self.root, self.folder = root, folder
        self.rows: dict[str, LeaderboardRow] = {}
        self.speeds: dict[str, dict[str, float]] = {}
        self.lineages: dict[str, str] = {}
        self.targets = np.arange(IMAGES) % len(CLASSES)
        self.split = np.array(["train"] * len(TRAIN) + ["val"] * len(VAL) + ["test"] * len(TEST))
        for name in ("reports/compare", "reports/benchmark", "reports/evaluate", "data/ingest", "data/split"):
            (folder / name).mkdir(parents=True)
        self.write_data()
        raw = {"path": "data/raw/shapes", "md5": f"{'0' * 32}.dir"}
        lock = {"stages": {"ingest": {"cmd": "python -m src.ingest", "deps": [raw], "outs": []}}}
        (folder / "dvc.lock").write_text(yaml.safe_dump(lock))
        for stage in ("evaluate", "compare"):  # they ran here, so their reports need no import
            begin(root, stage, stage).close("FINISHED")
        self.add_base()
        monkeypatch.chdir(folder)

    def add_base(self, wrong: Collection[int] = BASE_ERRORS) -> None:
        """The base as ONNX, version 1: so slow and so often wrong that all others are chosen before it."""
        self.add("onnx_fp32", wrong=wrong, latency=100.0)

    def configure(self, **changes: Any) -> None:
        """Set fields of the section ``register``; those of its policy by their own names."""
        register = self.config.register_
        policy = {k: v for k, v in changes.items() if k in type(register.policy).model_fields}
        rest = {k: v for k, v in changes.items() if k not in policy}
        updated = register.model_copy(update={**rest, "policy": register.policy.model_copy(update=policy)})
        self.config = self.config.model_copy(update={"register_": updated})

    def write_data(self, prefix: str = "image", shown: NDArray[np.int64] | None = None) -> None:
        """Images whose shade is that of their class, or of the class that they show, which a model answers.

        ``prefix``: other digests of the pixels for another one.
        """
        manifest = {
            "id": np.arange(IMAGES),
            "source": [f"{row}.png" for row in range(IMAGES)],
            "target": self.targets,
            "sha256": [json_hash([prefix, row]) for row in range(IMAGES)],
            "given_split": [None] * IMAGES,
            "group": [None] * IMAGES,
        }
        pd.DataFrame(manifest).to_parquet(self.folder / "data/ingest/manifest.parquet")
        shades = np.array(SHADES, np.uint8)[self.targets if shown is None else shown]
        images = np.broadcast_to(shades[:, None, None, None], (IMAGES, 1, SIZE, SIZE))
        np.save(self.folder / "data/ingest/images.npy", images)
        report = {"classes": CLASSES, "kept": IMAGES}
        (self.folder / "data/ingest/report.json").write_text(json.dumps(report))
        splits = pd.DataFrame({"id": np.arange(IMAGES), "split": self.split, "fold": 0})
        splits.to_parquet(self.folder / "data/split/splits.parquet")
        sizes = {name: {"images": int((self.split == name).sum())} for name in ("train", "val", "test")}
        (self.folder / "data/split/report.json").write_text(json.dumps({"splits": sizes}))

    def add(
        self,
        variant: str,
        wrong: Collection[int] = (),
        generation: str = "one",
        latency: float = 1.0,
        journal: bool = True,
    ) -> None:
        """A variant that is wrong on so many of the validation and test images (their rows)."""
        folder = self.folder / "models" / variant
        self.lineages[variant] = lineage_of(f"{variant} {generation}")
        if journal:
            self.lineages[variant] = compressed(self.root, folder, generation, variant).record["lineage"]
        held = np.flatnonzero(self.split != "train")
        said = np.where(
            np.isin(held, list(wrong)), (self.targets[held] + 1) % len(CLASSES), self.targets[held]
        )
        table = {"id": held, "split": self.split[held], "target": self.targets[held], "predicted": said}
        table |= {f"logit_{k}": np.where(said == k, 4.0, 0.0).astype(np.float32) for k in range(len(CLASSES))}
        pd.DataFrame(table).to_parquet(folder / "predictions.parquet")
        self.rows[variant] = self._row(variant, folder, pd.DataFrame(table))
        self.speeds[variant] = {
            "speed/latency_p50_ms": latency,
            "speed/latency_p95_ms": 2 * latency,
            "speed/throughput/64": 9e3,
        }

    def fail(self, variant: str, reason: str) -> None:
        """A variant whose method cannot do the model."""
        self.rows[variant] = LeaderboardRow(variant, ("export",), {}, reason)
        self.lineages[variant] = lineage_of(f"{variant} one")

    def register(self) -> dict[str, Any]:
        """Run the stage; returns the decision."""
        base = LeaderboardRow("base", (), {"val/accuracy": 1.0, "model/bytes": 4000})
        write_variants(self.folder / "reports/compare/variants.csv", [base, *self.rows.values()])
        found = {"threads": 2, "machine": {"cpu": "A CPU", "instructions": "AVX2"}}
        found["models"] = {name: nest(speed) for name, speed in self.speeds.items()}
        (self.folder / "reports/benchmark/benchmark.json").write_text(json.dumps(found))
        output = self.folder / "output"
        output.mkdir(exist_ok=True)
        attempt = begin(self.root, "register", "register")
        parents = {name: lineage_of(made) for name, made in MADE.items()}
        parents |= {f"compress@{variant}": lineage for variant, lineage in self.lineages.items()}
        lineage = Lineage(lineage_of("register"), parents)
        known = KnownLineages(self.folder, {"seed": 0}, parents)
        job = Job("register", None, LoadedConfig(self.config, {}), known, lineage, output, {})
        tracker = Tracker(self.root, lineage.id)
        build(self.config, StageRun(job, self.root, output, output, False, attempt, tracker))
        attempt.close("FINISHED")
        decision: dict[str, Any] = json.loads((output / "decision.json").read_text())
        return decision

    def _row(self, variant: str, folder: Path, table: pd.DataFrame) -> LeaderboardRow:
        right = table["predicted"] == table["target"]
        val, test = (float(right[table["split"] == name].mean()) for name in ("val", "test"))
        size = (folder / "model.onnx").stat().st_size
        metrics = {"val/accuracy": val, "val/accuracy/change": val - 1, "test/accuracy": test}
        limits = {"test/accuracy/low": test - 0.1, "test/accuracy/high": test}
        return LeaderboardRow(variant, ("export",), {**metrics, **limits, "model/bytes": size})


def write_variants(path: Path, rows: list[LeaderboardRow]) -> None:
    """The table of compare, with the columns that these rows have."""
    columns = sorted({name for row in rows for name in row.metrics})
    lines = [
        (row.name, row.status, row.reason, " > ".join(row.steps), *map(row.metrics.get, columns))
        for row in rows
    ]
    write_csv(path, ["variant", "status", "reason", "steps", *columns], lines)


def decide_on(root: Path, folder: Path, lineage: str, variant: str = "onnx_fp32") -> None:
    """Record that the model in ``folder`` is a version of `shapes`, and champion because a person says so."""
    sha256 = file_hash(folder / "model.onnx")
    embedded = not os.environ.get("MLFLOW_TRACKING_URI")
    append_decisions(
        root,
        Registration("shapes", variant, lineage, sha256, "shapes", record="none"),
        Ruling("shapes", lineage, sha256, True, "a reason", "person", embedded),
    )


def registry(root: Path, name: str = "shapes") -> dict[str, Any]:
    """What the registry shows, without what differs from one view to the next: versions, aliases, history."""
    view = RegisteredModelView(connect(root), name)
    model = view.model()
    return {
        "versions": {
            str(v.version): (
                v.description, {k: t for k, t in v.tags.items() if k not in MOMENTS}
            )
            for v in view.all
        },
        "aliases": {alias: str(version) for alias, version in model.aliases.items()} if model else {},
        "history": view.tag(HISTORY),
    }  # fmt: skip


def aliases(root: Path) -> dict[str, str]:
    """{alias: version} of the model."""
    found: dict[str, str] = registry(root)["aliases"]
    return found


def variants(root: Path) -> dict[str, str]:
    """{version: variant} of the model."""
    return {number: tags["variant"] for number, (_, tags) in registry(root)["versions"].items()}
