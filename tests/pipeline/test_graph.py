"""``dvc.yaml`` names exactly the code that each stage imports, so that DVC reruns what a change touches."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from src.config.dotted_keys import is_under
from src.config.loading import read_params
from src.provenance.dvc_yaml import read_pipeline
from tests.support.code_dependencies import (
    STAGES,
    closure,
    code_dependencies,
    unneeded,
    with_code_dependencies,
)
from tests.support.workspaces import ROOT

# what changes no result of the pipeline: it is refused there, or says how many work at a time
FREE = {
    *(
        "machine",
        "cross_validate.n_jobs",
        "sweep.n_jobs",
        "sweep.asynchronous",
        "sweep.storage",
        "sweep.study",
    ),
}
HELPERS = {
    "sweep": ("search/engine/trial_configs", "search/engine/trial_tasks"),
    "cross_validate": ("search/engine/trial_configs", "cross_validation/fold_tasks"),
    "register": ("registry/registrations", "registry/report"),
}


@pytest.fixture(scope="module")
def pipeline():
    values = {**read_params(), "data": {"name": "digits"}}
    return read_pipeline(ROOT / "dvc.yaml", values)


def definition(pipeline, stage):
    return pipeline.get(stage) or pipeline["compress@onnx_fp32"]


def test_dvc_yaml_names_the_code_of_every_stage():
    text = (ROOT / "dvc.yaml").read_text()
    assert text == with_code_dependencies(text), "run `make deps`"


@pytest.mark.parametrize("stage", STAGES)
def test_code_dependencies_cover_the_closure_of_the_imports(stage):
    listed = code_dependencies(stage)
    missing = [f for f in closure(stage) if not any(f == p or f.startswith(f"{p}/") for p in listed)]
    assert missing == []


@pytest.mark.parametrize("stage", STAGES)
def test_at_most_a_third_of_a_listed_path_is_unneeded(stage):
    spare = {path: unneeded(path, stage) for path in code_dependencies(stage)}
    assert {path: share for path, share in spare.items() if share > 1 / 3} == {}


def test_a_comment_in_the_downloader_reruns_nothing():
    assert [stage for stage in STAGES if "src/data/download.py" in closure(stage)] == []
    listed = {path for stage in STAGES for path in code_dependencies(stage)}
    assert [path for path in listed if "src/data/download.py".startswith(path)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_depends_on_the_lock_file_and_makes_its_folder(pipeline, stage):
    stage_definition = definition(pipeline, stage)
    assert "requirements.lock" in stage_definition.dependencies
    assert len(stage_definition.outputs) == 1


def test_only_benchmark_and_registration_are_observations(pipeline):
    assert [stage.name for stage in pipeline.values() if stage.observation] == ["benchmark", "register"]


@pytest.mark.parametrize("stage", [*STAGES, "audit", "fetch", "compose", "track", "predict"])
def test_help_imports_nothing_heavy(stage):
    code = f"import sys, src.{stage}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"torch", "hydra", "omegaconf", "mlflow", "sklearn", "pandas", "numpy", "matplotlib", "pydantic"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_no_parameter_that_it_does_not_declare(pipeline, stage):
    """Otherwise DVC would not rerun it when that parameter changes. ``machine`` changes no result."""
    declared = {key.replace("register", "register_") for key in definition(pipeline, stage).parameters} | FREE
    text = "".join((ROOT / f"src/{name}.py").read_text() for name in [stage, *HELPERS.get(stage, ())])
    read = {match.rstrip(".") for match in re.findall(r"\bconfig\.([a-z_]+(?:\.[a-z_]+)?)", text)}
    read -= {"model_dump", "schema", "loading", "validation"}  # pydantic's own
    if stage == "ingest":
        read -= {"model.kind", "model.name", "model"}  # only said aloud
    undeclared = [
        key for key in read if not is_under(key, declared) and not any(d.startswith(key) for d in declared)
    ]
    assert undeclared == []


def test_the_committed_results_are_those_of_the_committed_code():
    """``dvc.lock`` holds the hashes of the code that made it: change code, run ``dvc repro``, commit both."""
    done = subprocess.run(["dvc", "status", "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    changed = {
        path
        for stage in json.loads(done.stdout).values()
        for change in stage
        if isinstance(change, dict)
        for path, how in change.get("changed deps", {}).items()
        # what stages make is not there in a fresh clone
        if Path(path).parts[0] not in {"data", "sweep", "models", "reports"} and how != "up to date"
    }
    assert changed == set()
