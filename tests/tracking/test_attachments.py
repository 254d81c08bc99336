"""A stage that speaks of several models shows what it says of each in the run of that model."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow.entities import Run

from src.core.errors import AssayError
from src.pipeline.execution import StageRun
from src.pipeline.job import Job
from src.provenance.journal import RunRecord
from src.provenance.lineage import Lineage
from src.tracking.live import Tracker
from src.tracking.mlflow_store import connect
from src.tracking.rebuild import rebuild
from src.tracking.sync import synchronize
from tests.support.journals import begin, compressed, count, evaluated, finish, lineage_of, nothing, trained
from tests.tracking.test_sync import runs

PARENTS = {"train": lineage_of("one"), "compress@onnx_fp32": lineage_of("onnx one")}


@dataclass
class Speaker:
    """A stage at work that has read the base and a variant."""

    root: Path
    stage: str
    parents: dict[str, str] = field(default_factory=lambda: PARENTS)
    ad_hoc: bool = False

    def __post_init__(self) -> None:
        record = {"parents": self.parents, "ad_hoc": self.ad_hoc}
        self.attempt: RunRecord = begin(self.root, self.stage, self.stage, **record)
        lineage = Lineage(lineage_of(self.stage), self.parents)
        job = Job(self.stage, None, loaded=None, graph=None, lineage=lineage, place=self.root, options={})
        self.tracker = Tracker(self.root, lineage.id)
        self.tracker.start()
        self.run = StageRun(job, self.root, self.root, self.root, False, self.attempt, self.tracker)

    def end(self) -> None:
        finish(self.attempt)
        self.tracker.finish()


def picture(tmp: Path, content: bytes) -> Path:
    path = tmp / str(len(content)) / "pareto.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def speak(root: Path, tmp: Path, stage: str = "benchmark", latency: float = 1.0) -> None:
    """Attach a figure and a picture to both models."""
    speaker = Speaker(root, stage)
    speaker.run.log_for("train", {f"{stage}/latency": latency}, [picture(tmp, b"base")], threads="2")
    speaker.run.log_for("compress@onnx_fp32", {f"{stage}/latency": latency / 4}, [picture(tmp, b"variant")])
    speaker.end()


def both(root: Path) -> tuple[Run, Run]:
    (base,), (variant,) = runs(root), runs(root, "onnx one")
    return base, variant


def shown(root: Path) -> list[object]:
    """What both runs show, without what differs from one view to the next."""
    client = connect(root).client
    content = []
    for run in both(root):
        folder = Path(client.download_artifacts(run.info.run_id, ""))
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}
        tags = {k: v for k, v in run.data.tags.items() if k not in ("model.id", "mlflow.parentRunId")}
        content.append((run.data.metrics, files, tags))
    return content


@pytest.fixture
def models(root: Path, tmp_path: Path) -> Path:
    """A repository with a base and a variant in MLflow."""
    trained(root)
    compressed(root, tmp_path / "onnx")
    synchronize(root)
    return root


def test_each_model_gets_its_own_figures_at_once(models: Path, tmp_path: Path) -> None:
    speak(models, tmp_path)
    base, variant = both(models)
    assert (base.data.metrics["benchmark/latency"], variant.data.metrics["benchmark/latency"]) == (1.0, 0.25)
    assert variant.data.metrics["val/accuracy"] == 0.8
    tag = json.loads(base.data.tags["benchmark"])
    assert (tag["threads"], tag["lineage"], tag["commit"]) == ("2", lineage_of("benchmark"), "c0ffee")
    assert [files for _, files, _ in shown(models)] == [
        {"benchmark/pareto.png": b"base"}, {"benchmark/pareto.png": b"variant"}
    ]  # fmt: skip
    model = connect(models).client.get_logged_model(variant.data.tags["model.id"])
    assert {m.key: m.value for m in model.metrics} == {"val/accuracy": 0.8, "benchmark/latency": 0.25}
    assert count(synchronize(models), "unchanged") == 2


def test_each_stage_replaces_only_its_own(models: Path, tmp_path: Path) -> None:
    evaluated(models, tmp_path)
    speak(models, tmp_path, "compare", 8.0)
    speak(models, tmp_path, "benchmark", 1.0)
    speak(models, tmp_path, "benchmark", 2.0)
    base, variant = both(models)
    expected = {"compare/latency": 8.0, "benchmark/latency": 2.0, "test/accuracy": 0.9}
    assert expected.items() <= base.data.metrics.items()
    assert {"compare/latency": 2.0, "benchmark/latency": 0.5}.items() <= variant.data.metrics.items()


@pytest.mark.slow
def test_a_rebuilt_view_shows_the_same(models: Path, tmp_path: Path) -> None:
    evaluated(models, tmp_path)
    speak(models, tmp_path, "compare", 8.0)
    speak(models, tmp_path, "benchmark", 1.0)
    speak(models, tmp_path, "benchmark", 2.0)
    before = shown(models)
    assert count(rebuild(models, then=nothing), "created") == 2
    assert shown(models) == before


def test_a_dead_server_loses_nothing(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        speak(models, tmp_path)
    assert "benchmark/latency" not in both(models)[0].data.metrics
    assert count(synchronize(models), "refreshed") == 2
    base, variant = both(models)
    assert (base.data.metrics["benchmark/latency"], variant.data.metrics["benchmark/latency"]) == (1.0, 0.25)


def test_figures_wait_for_a_model_made_elsewhere(models: Path, tmp_path: Path) -> None:
    parents = {"compress@onnx_fp32": lineage_of("onnx one"), "compress@other": lineage_of("other")}
    speaker = Speaker(models, "benchmark", parents)
    speaker.run.log_for("compress@other", {"benchmark/latency": 3.0})
    speaker.run.log_for("compress@onnx_fp32", {"benchmark/latency": 0.25})
    speaker.end()
    assert both(models)[1].data.metrics["benchmark/latency"] == 0.25
    assert count(synchronize(models), "waiting") == 1
    made = begin(models, "compress", "other", parents={"train": lineage_of("one")}, variant="other")
    finish(made)
    synchronize(models)
    (run,) = runs(models, "other")
    assert run.data.metrics["benchmark/latency"] == 3.0


def test_an_ad_hoc_run_leaves_the_runs_of_the_pipeline_alone(models: Path, tmp_path: Path) -> None:
    speak(models, tmp_path)
    before = shown(models)
    speaker = Speaker(models, "benchmark", ad_hoc=True)
    speaker.run.log_for("train", {"benchmark/latency": 3.0})
    speaker.run.log(subject="train", metrics={"test/accuracy": 0.1})
    speaker.end()
    assert count(synchronize(models), "refreshed") == 0
    assert shown(models) == before


def test_of_what_it_does_not_read_a_stage_cannot_speak(models: Path) -> None:
    speaker = Speaker(models, "benchmark")
    with pytest.raises(AssayError, match=r"benchmark cannot log for sweep.*train, compress@onnx_fp32"):
        speaker.run.log_for("sweep", {"benchmark/latency": 3.0})
