"""Made good, one thing changed: the audit names that thing. The table in docs/audit.md is this list."""

import json
import os
import re
import shutil
import sqlite3
from contextlib import closing, contextmanager

import pandas as pd
import pytest

from src.attestation import signing
from src.auditing.checks import environment
from src.auditing.verdict import CheckLog, Verdict
from src.core.errors import AssayError
from src.provenance.dvc_lock import Cache, md5_of, read_lock
from src.records.files import read_records
from tests.support.audits import CHAMPION, Scene, changed, check_of, findings, flip_byte
from tests.support.keys import make_keys
from tests.support.records import rewrite

WORKSPACE = None


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return make_keys(folder, "ours"), make_keys(folder, "theirs")


@pytest.fixture(scope="module")
def scene(finished, tmp_path_factory, keys):
    """The finished pipeline, registered with a signature."""
    workspace = finished.copy(tmp_path_factory.mktemp("audited") / "clone")
    workspace.run("python", "-m", "src.track", "--rebuild")
    environment = {signing.PRIVATE: str(keys[0][0])}
    workspace.run("dvc", "repro", "--force", "--single-item", "register", **environment)
    return Scene(workspace, tmp_path_factory.mktemp("scratch"))


def run_of(scene, stage):
    """The id of the run of a stage of the champion: its own, or that of its base."""
    facts = scene.audit(CHAMPION).subject
    return facts.run.id if stage == "compress" else facts.base.id


@contextmanager
def database(scene, statement, undo, *values):
    scene.execute(statement, *values[:-1])
    try:
        yield
    finally:
        scene.execute(undo, values[-1], *values[1:-1])


# --- what is changed: a context manager that takes the scene ---------------------------------------------


def a_byte_of_the_registered_file(scene):
    version = scene.audit(CHAMPION).subject.version
    folder = scene / f"mlruns/1/models/{version.model_id}/artifacts/artifacts/model"
    return changed(folder / "model.onnx", flip_byte)


@contextmanager
def the_class_names_of_the_registered_file(scene):
    """Where the pipeline's output, which has them too, is not here."""
    version = scene.audit(CHAMPION).subject.version
    folder = scene / f"mlruns/1/models/{version.model_id}/artifacts/artifacts/model"
    output = scene.audit(CHAMPION).subject.model_folder
    output.rename(output.with_name("elsewhere"))
    try:
        with changed(folder / "model.json", lambda content: content.replace(b'"0"', b'"O"', 1)):
            yield
    finally:
        output.with_name("elsewhere").rename(output)


def a_byte_of_an_image(scene):
    return changed(scene / "data/ingest/images.npy", flip_byte)


@contextmanager
def edited_table(path, edit):
    before, table = path.read_bytes(), pd.read_parquet(path)
    edit(table)
    table.to_parquet(path, index=False)
    try:
        yield
    finally:
        path.write_bytes(before)


def a_label(scene):
    def edit(table):
        table.loc[5, "target"] = (table.loc[5, "target"] + 1) % 10

    return edited_table(scene / "data/ingest/manifest.parquet", edit)


def a_swapped_pair(scene):
    def edit(table):
        train, test = (table.index[table["split"] == name][0] for name in ("train", "test"))
        table.loc[[train, test], ["split", "fold"]] = table.loc[[test, train], ["split", "fold"]].to_numpy()

    return edited_table(scene / "data/split/splits.parquet", edit)


def a_metric_in_mlflow(scene):
    where, run = "where key = 'test/accuracy' and run_uuid = ?", run_of(scene, "compress")
    ((before,),) = scene.ask(f"select value from latest_metrics {where}", run)
    statement = f"update latest_metrics set value = ? {where}"
    return database(scene, statement, statement, 0.999, run, before)


def a_parameter_in_mlflow(scene):
    where, run = "where key = 'train.optimizer.lr' and run_uuid = ?", run_of(scene, "train")
    ((before,),) = scene.ask(f"select value from params {where}", run)
    statement = f"update params set value = ? {where}"
    return database(scene, statement, statement, "0.5", run, before)


def better(content):
    """A report with another accuracy."""
    text = content.decode()
    value = text.split('"value": ')[1].split(",")[0]
    return text.replace(value, "0.9999", 1).encode()


def metrics_json(scene):
    return changed(scene / "reports/evaluate/metrics.json", better)


@contextmanager
def a_lock_that_matches(scene):
    """dvc.lock edited so that DVC sees nothing wrong."""
    recorded = read_lock(scene / "dvc.lock")["evaluate"].outputs["reports/evaluate"]
    with metrics_json(scene):
        now = md5_of(scene / "reports/evaluate")
        with changed(scene / "dvc.lock", lambda content: content.replace(recorded.encode(), now.encode())):
            yield


def a_source_file(scene):
    return changed(scene / "src/training/lr_schedules.py", lambda content: content + b"# changed\n")


def a_setting(scene):
    return changed(
        scene / "params.yaml",
        lambda content: content.replace(b"label_smoothing: 0.1", b"label_smoothing: 0.3"),
    )


def the_seed(scene):
    return changed(scene / "params.yaml", lambda content: content.replace(b"\nseed: 0\n", b"\nseed: 1\n"))


def predictions_of_another_model(scene):
    other = (scene / "models/structured_50_int8/predictions.parquet").read_bytes()
    return changed(scene / "models/onnx_fp32/predictions.parquet", lambda _: other)


def another_run(scene):
    (own, number), other = (
        scene.ask(
            "select run_id, version from model_versions where version = ?",
            scene.audit(CHAMPION).subject.version.version,
        )[0],
        run_of(scene, "train"),
    )
    statement = "update model_versions set run_id = ? where version = ?"
    return database(scene, statement, statement, other, number, own)


def an_object_of_the_cache(scene):
    subject = scene.audit(CHAMPION).subject
    files = Cache(scene.workspace.folder).files(subject.lock["split"].outputs["data/split"])
    return changed(Cache(scene.workspace.folder).object(files["splits.parquet"]), flip_byte)


@contextmanager
def an_older_database(scene):
    """Set back to before somebody decided something."""
    older = scene.scratch / "older.db"
    copy_database(scene.database, older)
    versions = sorted(number for (number,) in scene.ask("select version from model_versions"))
    other = next(n for n in versions if str(n) != scene.audit(CHAMPION).subject.version.version)
    scene.workspace.run("python", "-m", "src.register", "--promote", str(other), "--reason", "a test")
    newer = scene.scratch / "newer.db"
    copy_database(scene.database, newer)
    copy_database(older, scene.database)
    try:
        yield
    finally:
        copy_database(newer, scene.database)


def copy_database(source, target):
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@contextmanager
def without_a_raw_file(scene):
    path = scene / "data/raw/digits/labels-idx1-ubyte.gz"
    aside = scene.scratch / "aside"
    shutil.move(path, aside)
    try:
        yield
    finally:
        shutil.move(aside, path)


@contextmanager
def forged(scene, stage, change):
    """A record that says something else, under the name of its new content."""
    (record,) = (
        r
        for r in read_records(scene.workspace.folder).executions
        if r.predicate["buildDefinition"]["externalParameters"]["stage"] == stage
    )
    path = scene / record.path
    before = path.read_bytes()
    other = rewrite(scene.workspace.folder, record, change(record))
    assert other.name != record.name
    try:
        yield
    finally:
        (scene / other.path).unlink()
        path.write_bytes(before)


def a_record_of_the_base(scene):
    def better(record):
        return {"predicate/assay_record/metrics": {**record.extension["metrics"], "val/accuracy": 1.0}}

    return forged(scene, "train", better)


def a_record_of_the_comparison(scene):
    def better(record):
        subjects = record.extension["attached"]
        claims = {lineage: {**told["metrics"], "test/accuracy": 1.0} for lineage, told in subjects.items()}
        return {f"predicate/assay_record/attached/{key}/metrics": claims[key] for key in claims}

    return forged(scene, "compare", better)


def a_hash_in_a_record(scene):
    def other(record):
        at = sorted(record.subjects).index("models/base/history.csv")
        return {f"subject/{at}/digest/sha256": "0" * 64}

    return forged(scene, "train", other)


def a_validation_metric_of_the_base(scene):
    where, run = "where key = 'val/accuracy' and run_uuid = ?", run_of(scene, "train")
    ((before,),) = scene.ask(f"select value from latest_metrics {where}", run)
    statement = f"update latest_metrics set value = ? {where}"
    return database(scene, statement, statement, 1.0, run, before)


@contextmanager
def without_the_record_of_the_split(scene):
    (record, *_) = (
        r for r in read_records(scene.workspace.folder).executions if "data/split/report.json" in r.subjects
    )
    before = (scene / record.path).read_bytes()
    (scene / record.path).unlink()
    try:
        yield
    finally:
        (scene / record.path).write_bytes(before)


CASES = [
    (a_record_of_the_base, WORKSPACE, "Metrics", Verdict.TAMPERED, "val/accuracy of reports/records/"),
    (a_record_of_the_base, CHAMPION, "Metrics", Verdict.TAMPERED, "val/accuracy of reports/records/"),
    (a_record_of_the_comparison, CHAMPION, "Metrics", Verdict.TAMPERED, "test/accuracy of reports/records/"),
    (a_hash_in_a_record, WORKSPACE, "Records", Verdict.TAMPERED, "models/base/history.csv"),
    (a_validation_metric_of_the_base, CHAMPION, "Metrics", Verdict.TAMPERED, "val/accuracy of the base"),
    (without_the_record_of_the_split, WORKSPACE, "Records", Verdict.INCOMPLETE, "reports/records/"),
    (without_the_record_of_the_split, CHAMPION, "Records", Verdict.INCOMPLETE, "reports/records/"),
    (a_byte_of_the_registered_file, CHAMPION, "Artifacts", Verdict.TAMPERED, "the registered file"),
    (
        the_class_names_of_the_registered_file,
        CHAMPION,
        "Artifacts",
        Verdict.TAMPERED,
        "the registered model.json",
    ),
    (a_byte_of_an_image, WORKSPACE, "Data", Verdict.TAMPERED, "images.npy"),
    (a_label, WORKSPACE, "Data", Verdict.TAMPERED, "manifest.parquet"),
    (a_swapped_pair, WORKSPACE, "Data", Verdict.TAMPERED, "splits.parquet"),
    (a_metric_in_mlflow, CHAMPION, "Metrics", Verdict.TAMPERED, "test/accuracy"),
    (a_parameter_in_mlflow, CHAMPION, "Parameters", Verdict.TAMPERED, "train.optimizer.lr"),
    (metrics_json, WORKSPACE, "Data", Verdict.TAMPERED, "reports/evaluate"),
    (a_lock_that_matches, WORKSPACE, "Lineage", Verdict.TAMPERED, "reports/evaluate/metrics.json"),
    (a_source_file, WORKSPACE, "Code", Verdict.DIFFERENT, "src/training"),
    (a_setting, WORKSPACE, "Parameters", Verdict.DIFFERENT, "train.label_smoothing"),
    (the_seed, WORKSPACE, "Parameters", Verdict.DIFFERENT, "seed"),
    (
        predictions_of_another_model,
        WORKSPACE,
        "Data",
        Verdict.TAMPERED,
        "models/onnx_fp32/predictions.parquet",
    ),
    (another_run, CHAMPION, "Lineage", Verdict.TAMPERED, "run that made the model"),
    (an_object_of_the_cache, CHAMPION, "Data", Verdict.TAMPERED, "splits.parquet"),
    (an_older_database, CHAMPION, "Lineage", Verdict.TAMPERED, "champion"),
    (without_a_raw_file, WORKSPACE, "Data", Verdict.INCOMPLETE, "data/raw/digits"),
]
SLOW = (a_validation_metric_of_the_base, a_parameter_in_mlflow, another_run, an_older_database)


@pytest.mark.parametrize(
    ("change", "target", "check", "verdict", "what"),
    [
        pytest.param(
            *case,
            id=f"{case[0].__name__}-{'version' if case[1] else 'workspace'}",
            marks=[pytest.mark.prove] if case[0] in SLOW else [],
        )
        for case in CASES
    ],
)
def test_what_was_changed_is_named(scene, change, target, check, verdict, what):
    with change(scene):
        found = scene.audit(target)
    told = check_of(found, check)
    assert found.verdict is verdict, findings(found)
    assert any(what in f.what and f.verdict is verdict for f in told.evidence.findings), findings(found)


def test_what_nobody_has_changed_is_intact(scene):
    """After all of the above was put back too."""
    for target in (WORKSPACE, CHAMPION, "models:/assay-digits/1", "models:/assay-digits/2"):
        found = scene.audit(target)
        assert found.verdict is Verdict.INTACT, findings(found)
        assert {check.status for check in found.checks} <= {"PASS", "SKIPPED"}
        assert any("this machine made it" in text for text in check_of(found, "Artifacts").evidence.agreed)


def test_the_run_of_the_base_is_audited_by_the_record_of_a_variant(scene):
    found = scene.audit(run_of(scene, "train"))
    assert found.verdict is Verdict.INTACT, findings(found)
    assert found.subject.stage == "train"
    assert check_of(found, "Artifacts").status == "PASS"


def test_a_revision_whose_results_are_not_here_is_incomplete(scene):
    """What is committed is the default run, whose outputs are in no cache of this clone."""
    found = scene.audit("HEAD")
    assert found.verdict is Verdict.INCOMPLETE, findings(found)
    assert "not here (--rebuild makes it again)" in findings(found)


@pytest.mark.prove
def test_every_version_has_a_line(scene):
    lines = scene.workspace.run("python", "-m", "src.audit", "--all", "--no-write").stdout.splitlines()
    assert len(lines) == len(scene.ask("select version from model_versions"))
    assert all(line.startswith("INTACT     assay-digits version ") for line in lines)


@pytest.mark.prove
def test_why_two_versions_differ(scene):
    versions = ("models:/assay-digits/1", "models:/assay-digits/2")
    said = scene.workspace.run("python", "-m", "src.audit", "--diff", *versions).stdout
    sections = {part.split("\n")[0]: part for part in said.split("\n\n")[1:]}
    assert sections.keys() == {"Code", "Parameters", "Data", "Environment", "Metrics"}
    assert all(
        sections[name].endswith("  the same") for name in ("Code", "Parameters", "Data", "Environment")
    )
    assert "bytes: " in sections["Metrics"] and " -> " in sections["Metrics"]


def test_what_nobody_knows_is_refused(scene):
    for target, message in (
        ("nothing", "neither a revision of git nor a run of MLflow"),
        ("models:/assay-digits/99", "models:/assay-digits/99: "),
        ("models:/assay-digits@nobody", "models:/assay-digits@nobody: "),
        ("models:/assay-digits", "names no version"),
    ):
        with pytest.raises(AssayError, match=re.escape(message)) as refused:
            scene.audit(target)
        assert ".." not in str(refused.value)


def test_a_version_that_is_not_there_has_a_way_forward(scene):
    with pytest.raises(AssayError, match=r"python -m src\.track.*dvc repro register"):
        scene.audit("models:/assay-digits@nobody")


@pytest.mark.parametrize("change", [a_source_file, a_setting, the_seed, a_byte_of_an_image, metrics_json])
def test_a_workspace_that_has_moved_on_says_nothing_of_what_was_registered(scene, change):
    with change(scene):
        assert scene.audit(CHAMPION).verdict is Verdict.INTACT


def test_another_package_is_a_note(scene, tmp_path, monkeypatch):
    installed = tmp_path / "timm-99.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: timm\nVersion: 99.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = scene.audit(CHAMPION)
    assert found.verdict is Verdict.INTACT
    assert any("timm 99.0 (recorded" in note for note in check_of(found, "Environment").evidence.notes)


def test_another_number_of_threads_is_a_note(scene):
    subject = scene.audit(CHAMPION).subject
    subject.params["train"]["threads"] = "auto"  # of this subject alone
    numerics = json.loads(subject.run.tags["numerics"])
    subject.run.tags["numerics"] = json.dumps(numerics | {"threads": len(os.sched_getaffinity(0)) + 1})
    see = CheckLog()
    environment.check(subject, see)
    assert not see.findings
    assert any("threads: " in note and "recorded" in note for note in see.notes)


def test_a_statement_signed_by_another_key(scene, keys):
    (_, ours), (_, theirs) = keys
    good = scene.audit(CHAMPION, key=ours)
    assert good.verdict is Verdict.INTACT, findings(good)
    assert good.trust.startswith("a signature: signed by the key")
    bad = scene.audit(CHAMPION, key=theirs)
    assert bad.verdict is Verdict.TAMPERED
    assert [f.what for f in check_of(bad, "Provenance").evidence.findings] == ["signature"]
    assert any("not checked" in note for note in check_of(scene.audit(CHAMPION), "Provenance").evidence.notes)


def test_a_statement_that_was_edited(scene, keys):
    version = scene.audit(CHAMPION).subject.version
    path = scene / f"mlruns/1/models/{version.model_id}/artifacts/provenance/provenance.json"
    with changed(path, lambda content: content.replace(b"python -m src.compress", b"python -m src.bypass")):
        found = scene.audit(CHAMPION, key=keys[0][1])
    assert found.verdict is Verdict.TAMPERED
    assert "signature" in findings(found)


def test_a_record_that_was_edited(scene):
    subject = scene.audit(CHAMPION).subject
    version = subject.version
    folder = scene / f"mlruns/1/models/{version.model_id}/artifacts/record/{version.tags['record']}"
    with changed(folder / "src/training/lr_schedules.py", lambda content: content + b"# changed\n"):
        found = scene.audit(CHAMPION)
    assert found.verdict is Verdict.TAMPERED
    assert "hash of the record" in findings(found)


@pytest.mark.parametrize(
    "command", ["evaluate", "evaluate experiment=tiny evaluate.bootstrap=100", "compare", "cross_validate"]
)
def test_a_stage_refuses_an_edited_result_of_another(scene, command):
    """Its own result would name the lineage of the genuine one."""
    edited, maker = (
        ("data/split/report.json", "split")
        if command == "cross_validate"
        else ("models/base/history.csv", "train")
    )
    with changed(scene / edited, lambda content: content.replace(b"0.", b"1.", 1)):
        stage, *overrides = command.split()
        failed = scene.workspace.run("python", "-m", f"src.{stage}", *overrides, check=False)
    assert failed.returncode == 1
    assert f"{edited.rpartition('/')[0]} of stage {maker}" in failed.stderr
    assert f"dvc repro --force --single-item {maker}" in failed.stderr


@pytest.mark.prove
def test_code_that_was_never_committed(finished, tmp_path):
    """It ran, it was registered, and the record has it; but nobody can find it in git."""
    workspace = finished.copy(tmp_path / "clone")
    workspace.run("python", "-m", "src.track", "--rebuild")
    source = workspace / "src/compression/onnx/library_errors.py"
    source.write_text(source.read_text() + "# a change that nobody has reviewed\n")
    for stage in ("compress@onnx_fp32", "register"):
        workspace.run("dvc", "repro", "--force", "--single-item", stage)
    scene = Scene(workspace, tmp_path / "scratch")
    made = "select version from model_version_tags where key = 'variant' and value = 'onnx_fp32'"
    newest = max(int(number) for (number,) in scene.ask(made))
    found = scene.audit(f"models:/assay-digits/{newest}")
    assert found.verdict is Verdict.INCOMPLETE, findings(found)
    assert "never committed" in findings(found) and "src/compression/onnx/library_errors.py" in findings(
        found
    )
    assert scene.audit("models:/assay-digits/1").verdict is Verdict.INTACT
