"""``dvc.yaml`` names exactly the code that each stage imports, so that DVC reruns what a change touches."""

import json
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from src.config.dotted_keys import is_under
from src.config.loading import read_params
from src.provenance.dvc_yaml import read_pipeline

ROOT = Path(__file__).parents[2]
STAGES = [
    *("ingest", "split", "normalize", "sweep", "train", "cross_validate", "evaluate"),
    *("compress", "compare", "benchmark", "register"),
]

# what changes no result of the pipeline: it is refused there, or says how many work at a time
FREE = {
    *("machine", "sweep.jobs", "sweep.asynchronous", "sweep.storage", "sweep.study", "cross_validate.jobs"),
}
HELPERS = {
    "sweep": ("candidates", "trials"),
    "cross_validate": ("candidates", "folds"),
    "register": ("registrations", "registry_decision"),
}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("src", exclude_type_checking_imports=True)


@pytest.fixture(scope="module")
def pipeline():
    values = {**read_params(), "data": {"name": "digits"}}
    return read_pipeline(ROOT / "dvc.yaml", values)


def definition(pipeline, stage):
    return pipeline.get(stage) or pipeline["compress@onnx_fp32"]


def closure(graph, stage):
    """Modules that running ``src.<stage>`` may import; tracking changes no bytes and is left out."""
    found, waiting = set(), [f"src.{stage}"]
    while waiting:
        module = waiting.pop()
        if module in found or module.startswith("src.tracking"):
            continue
        found |= {module}
        parts = module.split(".")
        waiting += [".".join(parts[:depth]) for depth in range(1, len(parts))]
        waiting += graph.find_modules_directly_imported_by(module)
    return {_file(module) for module in found}


def _file(module):
    path = Path(*module.split("."))
    return (path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")).as_posix()


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_the_closure_of_the_imports(graph, pipeline, stage):
    named = [path for path in definition(pipeline, stage).dependencies if path.startswith("src/")]
    covered = {
        file: [path for path in named if file == path or file.startswith(f"{path}/")]
        for file in closure(graph, stage)
    }
    assert [file for file, paths in covered.items() if not paths] == [], "imported, but not in dvc.yaml"
    used = {path for paths in covered.values() for path in paths}
    shipped = {"src/served_model.py", "src/data"} if stage == "register" else set()  # goes into the registry
    assert [path for path in named if path not in used | shipped] == [], "in dvc.yaml, but not imported"


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
    read -= {"model_dump"}  # pydantic's own
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
