"""``dvc.yaml`` names exactly the code that each stage imports, so that DVC reruns what a change touches."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from src.config.dotted_keys import is_under
from src.config.loading import load
from src.config.schema import Config
from src.config.view import NO_RESULT
from src.core.errors import AssayError
from src.provenance.dvc_yaml import read_pipeline
from tests.support.code_dependencies import (
    STAGES,
    closure,
    code_dependencies,
    unneeded,
    with_code_dependencies,
)
from tests.support.workspaces import ROOT

FIELDS = {"register": "register_"}  # pydantic has a method of that name


@pytest.fixture(scope="module")
def pipeline():
    return read_pipeline(ROOT)


@pytest.fixture(scope="module")
def loaded():
    with pytest.MonkeyPatch.context() as place:
        place.chdir(ROOT)
        return load()


def definition(pipeline, stage):
    return pipeline.get(stage) or pipeline["compress@onnx_fp32"]


def test_dvc_yaml_names_the_code_of_every_stage():
    text = (ROOT / "dvc.yaml").read_text()
    assert text == with_code_dependencies(text), "run `make deps`"


@pytest.mark.parametrize("stage", STAGES)
def test_code_dependencies_cover_the_closure_of_the_imports(stage):
    listed = code_dependencies(stage)
    assert [path for path in closure(stage) if not is_listed(path, listed)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_at_most_a_third_of_a_listed_path_is_unneeded(stage):
    spare = {path: unneeded(path, stage) for path in code_dependencies(stage)}
    assert {path: share for path, share in spare.items() if share > 1 / 3} == {}


def test_a_comment_in_the_downloader_reruns_nothing():
    assert [stage for stage in STAGES if "src/data/download.py" in closure(stage)] == []
    listed = {path for stage in STAGES for path in code_dependencies(stage)}
    assert [path for path in listed if "src/data/download.py".startswith(path)] == []


def test_whatever_decides_a_promotion_is_a_dependency_of_register():
    """The closure leaves out tracking; only its progress bar is reached through it alone."""
    listed = code_dependencies("register")
    through_tracking = closure("register", without=()) - closure("register")
    assert {
        path
        for path in through_tracking
        if not path.startswith(("src/tracking/", "src/records/", "src/core/progress.py"))
    } == set()
    for name in ("policy", "promotion", "decisions", "mlflow_registry", "variant_metrics"):
        for path in closure(f"registry.{name}"):
            assert is_listed(path, listed), path


def is_listed(path, listed):
    return any(path == entry or path.startswith(f"{entry}/") for entry in listed)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_depends_on_the_lock_file_and_makes_its_folder(pipeline, stage):
    stage_definition = definition(pipeline, stage)
    assert "requirements.lock" in stage_definition.dependencies
    assert len(stage_definition.outputs) == 1


def test_only_benchmark_and_registration_are_observations(pipeline):
    assert [stage.name for stage in pipeline.values() if stage.observation] == ["benchmark", "register"]


@pytest.mark.parametrize(
    "stage",
    [*STAGES, "audit", "fetch", "compose", "track", "predict", "numerics", "find_lr", "find_batch_size"],
)
def test_help_imports_nothing_heavy(stage):
    code = f"import sys, src.{stage}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"torch", "hydra", "omegaconf", "mlflow", "sklearn", "pandas", "numpy", "matplotlib", "pydantic"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_sees_what_it_declares_and_nothing_else(pipeline, loaded, stage):
    """Otherwise DVC would not rerun it when that parameter changes. ``machine`` changes no result."""
    declared = definition(pipeline, stage).parameters
    whole, view = loaded.config, loaded.view(declared).config
    for key in fields_of(whole):
        if is_under(key, declared) or is_under(key, NO_RESULT):
            assert read(view, key) == read(whole, key)
        elif not any(is_under(other, [key]) for other in (*declared, *NO_RESULT)):
            with pytest.raises(AssayError, match=f"reads {key.split('.')[0]}.*does not declare"):
                read(view, key)


def fields_of(config):
    """The dotted keys of every section, and of every field of one."""
    for name, field in type(config).model_fields.items():
        key = field.alias or name
        yield key
        yield from (f"{key}.{below}" for below in getattr(type(getattr(config, name)), "model_fields", {}))


def read(config, key):
    """The value at a dotted key, as a stage would read it."""
    for part in key.split("."):
        config = getattr(config, FIELDS.get(part, part))
    return config


@pytest.mark.parametrize("stage", STAGES)
def test_the_sections_that_a_stage_names_are_declared(pipeline, loaded, stage):
    """The view finds out when the line runs; this finds lines that no test runs."""
    view = loaded.view(definition(pipeline, stage).parameters).config
    for chain in config_reads(ROOT / f"src/{stage}.py"):
        value = view
        for name in chain:
            value = getattr(value, name)


def config_reads(path):
    """("train", "threads") for every ``config.train.threads`` in the file, as far as the names are fields."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names, inner = [], node
        while isinstance(inner, ast.Attribute):
            names.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id == "config" and names:
            section, fields = Config, []
            for name in names:
                if name not in getattr(section, "model_fields", {}):
                    break
                fields.append(name)
                section = section.model_fields[name].annotation
            found.add(tuple(fields))
    return found


def test_reads_of_the_configuration_are_found():
    assert ("sweep", "method") in config_reads(ROOT / "src/sweep.py")


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
