"""A lineage is the command, its parameters and its inputs; nothing of the machine."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from src.core.errors import AssayError
from src.provenance.dvc_lock import LockedStage, md5_of, read_lock
from src.provenance.lineage import LineageGraph
from tests.support.remotes import configure_remote

PIPELINE = """
stages:
  make:
    cmd: python make.py
    params: [seed]
    deps: [raw]
    outs: [made]
  use:
    foreach: ${variants}
    do:
      cmd: python use.py ${key}
      params:
        - seed
        - variants.${key}
      deps: [made]
      outs:
        - used/${key}:
            cache: false
  sum:
    cmd: python sum.py
    deps: [used]
    outs: [total]
"""
VALUES = {"seed": 0, "variants": {"a": {"steps": [1]}, "b": {"steps": [2]}}}


def graph_of(folder, values, lock=None):
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    return LineageGraph(folder, values, lock or {})


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "one"
    for name in ("raw", "made"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text(name)
    (folder / "dvc.yaml").write_text(PIPELINE)
    return folder


def test_another_folder_has_the_same_lineage(workspace, tmp_path):
    shutil.copytree(workspace, tmp_path / "elsewhere")
    for name in ("make", "use@a"):
        here, there = (graph_of(folder, VALUES).of(name) for folder in (workspace, tmp_path / "elsewhere"))
        assert here == there


def test_parents_are_the_stages_whose_outputs_are_read(workspace):
    graph = graph_of(workspace, VALUES)
    assert graph.of("use@a").parents == {"make": graph.of("make").id}
    assert graph.of("make").parents == {}


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        (lambda folder, values: values.update(seed=1), {"make", "use@a", "use@b"}),
        (lambda folder, values: values["variants"].update(a={"steps": [3]}), {"use@a"}),
        (lambda folder, values: (folder / "raw" / "file").write_text("else"), {"make"}),
        (lambda folder, values: (folder / "made" / "new").write_text("else"), {"use@a", "use@b"}),
        (
            lambda folder, values: (folder / "made" / "file").rename(folder / "made" / "other"),
            {"use@a", "use@b"},
        ),
        (lambda folder, values: (folder / "notes.txt").write_text("else"), set()),
        (
            lambda folder, values: (folder / "dvc.yaml").write_text(
                PIPELINE.replace("make.py", "-O make.py")
            ),
            {"make"},
        ),
    ],
    ids=["parameter", "own parameter", "input", "new file", "renamed file", "unrelated file", "command"],
)
def test_lineage_moves_with_exactly_what_the_stage_depends_on(workspace, change, moved):
    values = {"seed": 0, "variants": {"a": {"steps": [1]}, "b": {"steps": [2]}}}
    names = ("make", "use@a", "use@b")
    before = {name: graph_of(workspace, values).of(name).id for name in names}
    change(workspace, values)
    after = {name: graph_of(workspace, values).of(name).id for name in names}
    assert {name for name in names if before[name] != after[name]} == moved


@pytest.fixture
def used(workspace):
    """The workspace after both variants were made; ``left`` is of one that params.yaml no longer names."""
    for name in ("a", "b", "left"):
        (workspace / "used" / name).mkdir(parents=True)
        (workspace / "used" / name / "file").write_text(name)
    return workspace


def test_a_folder_below_which_stages_write_is_what_they_write(used):
    graph = graph_of(used, VALUES)
    lineage = graph.of("sum")
    assert lineage.parents == {name: graph.of(name).id for name in ("use@a", "use@b")}
    (used / "used" / "left" / "file").write_text("else")
    (used / "used" / "stray").write_text("else")
    assert graph_of(used, VALUES).of("sum") == lineage
    shutil.rmtree(used / "used" / "left")
    assert graph_of(used, VALUES).of("sum") == lineage


def test_a_folder_below_which_stages_write_counts_each_of_their_files(used):
    before = graph_of(used, VALUES).of("sum").id
    (used / "used" / "b" / "file").write_text("else")
    after = graph_of(used, VALUES).of("sum").id
    fewer = graph_of(used, {**VALUES, "variants": {"a": VALUES["variants"]["a"]}}).of("sum")
    assert len({before, after, fewer.id}) == 3
    assert list(fewer.parents) == ["use@a"]


def test_a_missing_variant_names_the_stage_that_makes_it(used):
    shutil.rmtree(used / "used" / "b")
    with pytest.raises(AssayError, match=r"used/b is missing\. Stage use@b makes it: dvc repro use@b"):
        graph_of(used, VALUES).of("sum")


def test_compiled_files_do_not_count(workspace):
    before = graph_of(workspace, VALUES).of("make").id
    (workspace / "raw" / "__pycache__").mkdir()
    (workspace / "raw" / "__pycache__" / "x.pyc").write_text("compiled")
    assert graph_of(workspace, VALUES).of("make").id == before


def test_a_missing_input_names_the_stage_that_makes_it(workspace):
    shutil.rmtree(workspace / "made")
    with pytest.raises(AssayError, match=r"made is missing\. Stage make makes it: dvc repro make"):
        graph_of(workspace, VALUES).of("use@a")


def test_missing_raw_data_name_both_ways_to_bring_them(tmp_path):
    Path(tmp_path / "dvc.yaml").write_text("stages:\n  ingest:\n    cmd: x\n    deps: [data/raw/cats]\n")
    with pytest.raises(AssayError, match=r"python -m src.fetch cats.*dvc add data/raw/cats"):
        graph_of(tmp_path, {}).of("ingest")


def test_the_lineage_of_a_result_is_that_of_the_stage_that_made_it(workspace):
    graph = graph_of(workspace, VALUES)
    assert graph.of_result("make") == graph.of("make").id


@pytest.fixture
def locked(workspace):
    """The workspace after DVC has run its stages; and what dvc.lock says."""
    (workspace / "make.py").write_text("import shutil; shutil.copytree('raw', 'made')")
    script = "import shutil, sys; shutil.copytree('made', f'used/{sys.argv[1]}')"
    (workspace / "use.py").write_text(f"import os; os.makedirs('used', exist_ok=True); {script}")
    (workspace / "sum.py").write_text("import os; open('total', 'w').write(str(os.listdir('used')))")
    (workspace / "params.yaml").write_text(yaml.safe_dump(VALUES))
    for command in (["init", "--no-scm", "--quiet"], ["repro", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=workspace, check=True)
    return workspace, read_lock(workspace / "dvc.lock")


@pytest.mark.slow
def test_dvc_lock_and_files_give_the_same_lineage(locked):
    folder, lock = locked
    by_files, by_lock = graph_of(folder, VALUES), graph_of(folder, VALUES, lock)
    for name in ("make", "use@a", "use@b", "sum"):
        assert by_lock.of_result(name) == by_files.of(name).id
    assert by_lock.of("sum") == by_files.of("sum")


@pytest.mark.slow
def test_a_stage_needs_its_own_inputs_only(locked):
    folder, lock = locked
    before = graph_of(folder, VALUES, lock).of("use@a")
    shutil.rmtree(folder / "raw")
    assert graph_of(folder, VALUES, lock).of("use@a") == before
    with pytest.raises(AssayError, match="raw is missing"):
        graph_of(folder, VALUES).of("use@a")


@pytest.mark.slow
def test_upstream_files_are_not_hashed_again(locked):
    folder, lock = locked
    graph = graph_of(folder, VALUES, lock)
    graph.of("use@a")
    assert set(graph.hashes) == {"made"}


@pytest.mark.slow
def test_an_edited_input_is_not_what_dvc_lock_records(locked):
    folder, lock = locked
    before = graph_of(folder, VALUES, lock).of("use@a")
    (folder / "made" / "file").write_text("edited")
    after = graph_of(folder, VALUES, lock).of("use@a")
    assert after.id != before.id
    assert after.parents == before.parents, "what make would write is the same"
    (folder / "raw" / "file").write_text("newer")
    assert graph_of(folder, VALUES, lock).of("use@a").parents != before.parents


@pytest.mark.slow
def test_an_edited_input_that_cannot_be_traced_is_refused(locked):
    folder, lock = locked
    (folder / "made" / "file").write_text("edited")
    shutil.rmtree(folder / "raw")
    with pytest.raises(
        AssayError, match=r"made is not what dvc.lock records for stage make(.|\n)*dvc checkout made"
    ):
        graph_of(folder, VALUES, lock).of("use@a")


@pytest.mark.slow
def test_a_result_made_before_a_change_upstream_keeps_its_lineage(locked):
    folder, lock = locked
    before = graph_of(folder, VALUES, lock).of("use@a")
    (folder / "raw" / "file").write_text("newer")
    assert graph_of(folder, VALUES, lock).of("use@a") == before
    changed = {**VALUES, "seed": 1}
    assert graph_of(folder, changed, lock).of_result("make") == before.parents["make"]


def test_what_dvc_records_for_its_templates_is_not_part_of_a_lineage(workspace):
    made = {"made": md5_of(workspace / "made")}
    raw = {"raw": md5_of(workspace / "raw")}
    more = {"seed": 0, "variants.a": {"steps": [1]}}
    lock = {"make": LockedStage("python make.py", raw, more, made)}
    assert graph_of(workspace, VALUES, lock).of_result("make") == graph_of(workspace, VALUES).of("make").id


def recorded(workspace):
    """What dvc.lock says after both variants of ``use`` were made, without running DVC."""
    md5 = {name: md5_of(workspace / name) for name in ("raw", "made", "used/a", "used/b")}
    stages = {"make": LockedStage("python make.py", {"raw": md5["raw"]}, {"seed": 0}, {"made": md5["made"]})}
    for key, steps in VALUES["variants"].items():
        read = {"seed": 0, f"variants.{key}": steps}
        command, output = f"python use.py {key}", f"used/{key}"
        stages[f"use@{key}"] = LockedStage(command, {"made": md5["made"]}, read, {output: md5[output]})
    stages["sum"] = LockedStage("python sum.py", {"used": "0" * 32}, {}, {"total": "0" * 32})
    return stages


def test_recorded_results_have_the_lineage_of_the_files(used):
    by_files, by_lock = graph_of(used, VALUES), graph_of(used, VALUES, recorded(used))
    for name in ("make", "use@a", "use@b", "sum"):
        assert by_lock.of_result(name) == by_files.of(name).id
    assert set(by_lock.hashes) == {"made", "used/a", "used/b"}, "what they were made from is not read"


def test_an_absent_result_has_the_lineage_that_was_recorded(used):
    before, lock = graph_of(used, VALUES).of("make").id, recorded(used)
    shutil.rmtree(used / "made")
    shutil.rmtree(used / "raw")
    graph = graph_of(used, VALUES, lock)
    assert graph.unrecorded("make") == []
    assert graph.of_result("make") == before


def test_a_result_that_differs_from_its_record_is_traced_or_refused(used):
    lock = recorded(used)
    (used / "made" / "file").write_text("edited")
    graph = graph_of(used, VALUES, lock)
    assert graph.unrecorded("make") == ["made"] and graph.unrecorded("sum") == []
    assert graph.of_result("make") == graph.of("make").id
    shutil.rmtree(used / "raw")
    message = (
        r"made is not what dvc\.lock records for stage make(.|\n)*raw is missing(.|\n)*dvc checkout made$"
    )
    with pytest.raises(AssayError, match=message):
        graph_of(used, VALUES, lock).of_result("make")
    with pytest.raises(
        AssayError, match=r"^raw is missing\. It belongs to the repository: git checkout raw$"
    ):
        graph_of(used, VALUES).of_result("make")


def test_a_folder_of_which_one_output_was_never_recorded_is_traced_from_its_files(used):
    lock = recorded(used)
    del lock["use@b"]
    graph = graph_of(used, VALUES, lock)
    assert graph._recorded("sum") is None
    assert graph.of_result("sum") == graph_of(used, VALUES).of("sum").id


def test_what_can_be_pulled_is_said(used):
    lock = recorded(used)
    shutil.rmtree(used / "made")
    with pytest.raises(AssayError, match=r"dvc repro make$"):
        graph_of(used, VALUES, lock).of("use@a")
    configure_remote(used)
    with pytest.raises(AssayError, match=r"dvc repro make, or fetch it from DVC's remote: dvc pull made$"):
        graph_of(used, VALUES, lock).of("use@a")
    with pytest.raises(AssayError, match=r"dvc repro make$"):
        graph_of(used, VALUES).of("use@a")


def test_an_unknown_stage_is_refused_with_those_that_there_are(workspace):
    with pytest.raises(AssayError, match=r"no stage other\. It has: make, use@a, use@b, sum"):
        graph_of(workspace, VALUES).of("other")


def test_values_of_an_ad_hoc_run_replace_those_of_the_pipeline(workspace):
    graph, other = graph_of(workspace, VALUES), {**VALUES, "seed": 1}
    assert graph.of("make", other).id == graph_of(workspace, other).of("make").id != graph.of("make").id


def test_a_debug_run_has_a_lineage_of_its_own(workspace):
    """Or it would be given the finished work of the same training without debug."""
    graph = graph_of(workspace, VALUES)
    ids = {
        graph.of("make", {**VALUES, **more}).id
        for more in ({}, {"debug": {"kind": "one_batch"}}, {"debug": {"kind": "overfit"}})
    }
    assert len(ids) == 3
    assert graph.parameters_of("make", {**VALUES, "debug": {"kind": "a"}}) == {"seed": 0, "debug.kind": "a"}


def test_parameters_are_those_of_the_stage_and_of_its_parents(workspace):
    graph = graph_of(workspace, VALUES)
    more = {**VALUES, "unread": 1}
    assert graph.parameters_of("make", more) == {"seed": 0}
    assert graph.parameters_of("use@a", more) == {"seed": 0, "variants.a.steps": [1]}
    assert graph.parameters_of("sum", more) == {"seed": 0, "variants.a.steps": [1], "variants.b.steps": [2]}


def test_who_reads_a_file_below_an_output_has_its_maker_as_parent(workspace):
    below = (
        "  peek:\n    cmd: python peek.py\n    deps: [made/file]\n  other:\n    cmd: x\n    deps: [made2]\n"
    )
    (workspace / "dvc.yaml").write_text(PIPELINE + below)
    (workspace / "made2").touch()
    graph = graph_of(workspace, VALUES)
    assert list(graph.of("peek").parents) == ["make"]
    assert graph.of("other").parents == {}
    (workspace / "made" / "file").unlink()
    with pytest.raises(AssayError, match=r"made/file is missing\. Stage make makes it: dvc repro make$"):
        graph_of(workspace, VALUES).of("peek")
