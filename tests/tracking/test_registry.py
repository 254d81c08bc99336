"""What was decided is what the registry says, once, and what people did since stays."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from src.config import Loaded, check, read_params
from src.execution import Execution
from src.job import Job
from src.provenance.hashes import file_hash
from src.provenance.lineage import Lineage
from src.register import build
from src.tracking.live import Tracker, register
from src.tracking.rebuild import rebuild
from src.tracking.registry import Action, actions, keep_record, propose
from src.tracking.replay import synchronize
from src.tracking.store import connect
from tests.journals import begin, compressed, lineage_of, make_variant, trained

ROOT = Path(__file__).parents[2]


def decided(root: Path, tmp: Path, name: str = "one", **changes: str) -> Action:
    """A decision for a variant that the journal knows."""
    variant = compressed(root, tmp / "onnx", name).record
    action = Action(
        name="shapes",
        alias="champion",
        variant="onnx_fp32",
        lineage=variant["lineage"],
        sha256=file_hash(tmp / "onnx" / "model.onnx"),
        experiment="shapes",
        record=keep_record(root, ROOT),
        tags={"validation_accuracy": "0.8"},
    )
    return replace(action, **changes)


def versions(root: Path) -> dict[str, str]:
    """{version: lineage id} of the model, and which of them is champion."""
    client = connect(root).client
    found = {str(v.version): v.tags["lineage.id"] for v in client.search_model_versions("name = 'shapes'")}
    return found | {"champion": str(client.get_model_version_by_alias("shapes", "champion").version)}


def test_registering_twice_is_registering_once(root: Path, tmp_path: Path) -> None:
    trained(root)
    action = decided(root, tmp_path)
    propose(root, action)
    assert str(register(root, action)) == "shapes version 1 (champion)"
    assert str(register(root, action)) == "shapes version 1 (champion)"
    synchronize(root)
    assert versions(root) == {"1": action.lineage, "champion": "1"}


def test_a_version_carries_figures_and_record(root: Path, tmp_path: Path) -> None:
    trained(root)
    action = decided(root, tmp_path)
    register(root, action)
    client = connect(root).client
    version = client.get_model_version_by_alias("shapes", "champion")
    assert version.tags["validation_accuracy"] == "0.8"
    assert version.tags["sha256"] == action.sha256
    model = version.source.removeprefix("models:/")
    record = {Path(file.path).name for file in client.list_logged_model_artifacts(model, "record")}
    assert {"params.yaml", "dvc.yaml", "conf", "src", "requirements.lock", "packages.txt"} <= record


def test_the_alias_follows_the_last_decision_and_stays_where_people_put_it(
    root: Path, tmp_path: Path
) -> None:
    trained(root)
    trained(root, "two")
    for name in ("one", "two"):
        action = decided(root, tmp_path, name)
        propose(root, action)
        register(root, action)
    assert versions(root)["champion"] == "2"
    connect(root).client.set_registered_model_alias("shapes", "champion", "1")
    synchronize(root)  # the decisions were carried out before
    assert versions(root)["champion"] == "1"
    again = decided(root, tmp_path, "two")
    propose(root, again)
    register(root, again)  # a new decision for a known file: the version that there is
    assert versions(root) == {"1": lineage_of("onnx one"), "2": lineage_of("onnx two"), "champion": "2"}


def test_a_rebuilt_view_has_the_same_versions(root: Path, tmp_path: Path) -> None:
    trained(root)
    trained(root, "two")
    for name in ("one", "two"):
        propose(root, decided(root, tmp_path, name))
    synchronize(root)
    before = versions(root)
    summary = rebuild(root)
    assert versions(root) == before
    assert [str(version) for version in summary.versions] == [
        "shapes version 1 (champion)",
        "shapes version 2 (champion)",
    ]


def test_a_line_that_was_cut_short_is_no_decision(root: Path, tmp_path: Path) -> None:
    action = decided(root, tmp_path)
    propose(root, action)
    with (root / "mlruns" / "journal" / "registry.jsonl").open("a") as file:
        file.write('{"name": "sha')
    assert actions(root) == [action]


def test_the_stage_writes_its_decision_and_sums_up(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(root)
    workspace = Workspace(root, tmp_path, monkeypatch)
    workspace.lineage = compressed(root, workspace.variant).record["lineage"]
    first = workspace.register()
    assert workspace.register() == first
    decision = json.loads(first)
    assert decision["sha256"] == file_hash(workspace.variant / "model.onnx")
    assert decision["validation_accuracy"] == 0.8
    said = capsys.readouterr().out
    for text in (
        "0.9876 (95% interval 0.9800 to 0.9900)",
        "reports/evaluate/",
        "version 1 (champion)",
        "make ui",
    ):
        assert text in said


def test_a_variant_from_the_cache_is_registered_though_the_journal_did_not_see_it_made(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(root, tmp_path, monkeypatch)
    make_variant(workspace.variant)
    workspace.register()
    assert "version 1 (champion)" in capsys.readouterr().out
    rebuild(root)
    version = connect(root).client.get_model_version_by_alias(workspace.config.register_.name, "champion")
    assert version.tags["lineage.id"] == workspace.lineage


class Workspace:
    """What lies in the working folder when `register` runs."""

    def __init__(self, root: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(ROOT)
        config = check(read_params(), "params.yaml")
        self.config = config.model_copy(update={"data": config.data.model_copy(update={"name": "shapes"})})
        self.root, self.folder, self.lineage = root, tmp / "workspace", lineage_of("onnx")
        self.variant = self.folder / "models" / config.register_.variant
        accuracy = {"accuracy": {"value": 0.9876, "low": 0.98, "high": 0.99}}
        (self.folder / "reports" / "evaluate").mkdir(parents=True)
        (self.folder / "reports" / "evaluate" / "metrics.json").write_text(json.dumps(accuracy))
        monkeypatch.chdir(self.folder)

    def register(self) -> bytes:
        """Run the stage; returns the decision."""
        parents = {f"compress@{self.config.register_.variant}": self.lineage}
        output = self.folder / "output"
        output.mkdir(exist_ok=True)
        attempt = begin(self.root, "register", "register")
        loaded = Loaded(self.config, {})
        lineage = Lineage(lineage_of("register"), parents)
        run = Execution(
            job=Job("register", None, loaded, ancestry=None, lineage=lineage, place=output, options={}),
            root=self.root,
            folder=output,
            state=output,
            progress=False,
            attempt=attempt,
            tracker=Tracker(self.root, lineage_of("register")),
        )
        build(self.config, run)
        attempt.close("FINISHED")
        return (output / "decision.json").read_bytes()
