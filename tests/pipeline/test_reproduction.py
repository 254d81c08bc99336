"""Same inputs, same bytes: real pipelines in clones of different names."""

import json

import pytest
import yaml

from src.provenance.journal import attempts


def locked(workspace):
    """What dvc.lock says, without the stages that observe a machine or a registry."""
    pipeline = yaml.safe_load((workspace / "dvc.yaml").read_text())["stages"]
    observed = {name for name, stage in pipeline.items() if stage.get("meta", {}).get("observation")}
    stages = yaml.safe_load((workspace / "dvc.lock").read_text())["stages"]
    return {name: stage for name, stage in stages.items() if name.split("@")[0] not in observed}


@pytest.mark.prove  # tests/faults/test_rebuild.py shows the same of one folder that an audit fills
def test_two_clones_in_different_folders_end_with_the_same_lock(finished, tmp_path):
    other = finished.clone(tmp_path / "a" / "second-clone")
    other.compose("experiment=tiny")
    other.run("dvc", "repro", "compare", "cross_validate", "evaluate")  # all but the observations
    stages = {"ingest", "split", "normalize", "sweep", "train", "cross_validate", "evaluate", "compare"}
    variants = {"compress@onnx_fp32", "compress@structured_50_int8"}
    # the lock file that is committed also has the default's other variants
    assert set(locked(other)) == stages | variants | {"compress@int8_static", "compress@structured_50"}
    assert locked(other) == locked(finished)


def test_a_second_call_runs_nothing(copy):
    before = (copy / "dvc.lock").read_bytes()
    assert "Data and pipelines are up to date" in copy.run("dvc", "repro").stdout
    assert (copy / "dvc.lock").read_bytes() == before


def test_a_changed_knob_reruns_only_what_reads_it(copy):
    copy.run(
        "python", "-m", "src.compose", "experiment=tiny", "evaluate.mistakes=4", "machine.progress=false"
    )
    plan = copy.run("dvc", "repro", "--dry").stdout
    assert [line for line in plan.splitlines() if line.startswith("> ")] == ["> python -m src.evaluate"]


@pytest.mark.prove
def test_the_old_configuration_comes_back_from_the_cache(copy):
    before = locked(copy)
    for seed in ("1", "0"):
        copy.compose("experiment=tiny", f"seed={seed}")
        output = copy.run("dvc", "repro", "normalize").stdout
    assert "Stage 'split' is cached - skipping run" in output
    assert locked(copy)["normalize"] == before["normalize"]


def test_tracked_files_name_no_place_of_the_machine(finished):
    place = str(finished.folder).encode()
    for folder in ("data/ingest", "data/split", "data/normalize", "sweep", "models", "reports"):
        for path in (finished / folder).rglob("*"):
            assert path.is_dir() or place not in path.read_bytes(), path


def test_the_end_says_what_was_reached_and_where_it_lies(finished):
    reached = json.loads((finished / "reports/evaluate/metrics.json").read_text())["test"]["accuracy"]
    assert f"{reached['value']:.4f}" in finished.summary
    decision = json.loads((finished / "reports/register/decision.json").read_text())
    version = 1 + decision["registered"].index(decision["variant"])  # the fastest: the clock decides which
    for part in (
        "95% interval",
        "reports/evaluate/",
        f"assay-digits version {version} (challenger, champion)",
        "make ui",
    ):
        assert part in finished.summary


def test_dvc_shows_metrics_plots_and_parameters(copy):
    metrics = json.loads(copy.run("dvc", "metrics", "show", "--json").stdout)
    summary = metrics[""]["data"]["reports/evaluate/summary.json"]["data"]
    assert summary.keys() == {"accuracy", "balanced_accuracy", "f1_macro", "calibration_error"}
    assert max(map(len, copy.run("dvc", "metrics", "show").stdout.splitlines())) <= 120

    copy.run("dvc", "plots", "show", "--out", "plots")
    page = (copy / "plots" / "index.html").read_text()
    for title in ("confusion", "roc", "precision and recall", "loss", "accuracy"):
        assert title in page.lower()

    changed = json.loads(copy.run("dvc", "params", "diff", "--json").stdout)["params.yaml"]
    assert changed["train.epochs"]["new"] == 2

    copy.run("git", "commit", "--quiet", "--all", "--message", "Tiny")
    shown = json.loads(copy.run("dvc", "exp", "show", "--json").stdout)
    assert "train" in json.dumps(shown[0]["data"]["params"])


def test_an_experiment_of_dvc_composes_with_its_overrides(copy):
    copy.run("git", "commit", "--quiet", "--all", "--message", "Tiny")
    output = copy.run("dvc", "exp", "run", "-S", "experiment=tiny", "-S", "split.folds=3", "split").stdout
    assert "params.yaml differs from conf/ in split.folds" in output
    assert yaml.safe_load((copy / "params.yaml").read_text())["split"]["folds"] == 3
    records = [attempt.record for attempt in attempts(copy.folder)]
    names = {record["dvc_experiment"] for record in records if record["stage"] == "split"}
    assert None in names and len(names) == 2, "that of the pipeline has no name, that of the experiment one"


def test_the_journal_knows_who_ran_what_on_which_branch(finished):
    for attempt in attempts(finished.folder):
        record = attempt.record
        if "process" in record:  # not a trial or fold
            assert record["user"] and record["git"]["branch"] == "main" and record["git"]["dirty"] == []


def test_an_ad_hoc_run_leaves_the_pipeline_alone(copy):
    before = locked(copy)
    output = copy.run("python", "-m", "src.train", "model=lenet", "train.epochs=5", "train.threads=1").stdout
    assert "ad-hoc run" in output
    (made,) = (copy / "outputs/train").iterdir()
    assert json.loads((made / "model.json").read_text())["model"]["kind"] == "lenet"
    assert "Data and pipelines are up to date" in copy.run("dvc", "repro", "evaluate").stdout
    assert locked(copy) == before


@pytest.mark.prove
def test_a_debug_run_leaves_the_pipeline_alone(copy):
    before = locked(copy)
    command = ("python", "-m", "src.train", "experiment=tiny", "machine.progress=false")
    output = copy.run(*command, "debug=one_batch").stdout
    assert "one batch went through training, validation, calibration and saving" in output
    (made,) = (copy / "outputs/train").iterdir()
    assert len((made / "history.csv").read_text().splitlines()) == 2  # a header and one epoch
    done = copy.run("python", "-m", "src.sweep", "debug=overfit", check=False)
    assert done.returncode == 1 and "python -m src.train debug=overfit" in done.stderr
    assert "Data and pipelines are up to date" in copy.run("dvc", "repro", "evaluate").stdout
    assert locked(copy) == before


def test_an_ad_hoc_run_refuses_what_earlier_stages_decided(copy):
    done = copy.run("python", "-m", "src.train", "experiment=tiny", "split.folds=3", check=False)
    assert done.returncode == 1
    assert "split.folds: an earlier stage than train reads this" in done.stderr
