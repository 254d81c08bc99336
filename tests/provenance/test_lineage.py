"""A lineage is the command, its parameters and its inputs; nothing of the machine."""

import shutil
from pathlib import Path

import pytest

from src.core.errors import AssayError
from src.provenance.lineage import LineageGraph

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
        here, there = (
            LineageGraph(folder, VALUES).of(name) for folder in (workspace, tmp_path / "elsewhere")
        )
        assert here == there


def test_parents_are_the_stages_whose_outputs_are_read(workspace):
    graph = LineageGraph(workspace, VALUES)
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
    ],
    ids=["parameter", "own parameter", "input", "new file", "renamed file", "unrelated file"],
)
def test_lineage_moves_with_exactly_what_the_stage_depends_on(workspace, change, moved):
    values = {"seed": 0, "variants": {"a": {"steps": [1]}, "b": {"steps": [2]}}}
    names = ("make", "use@a", "use@b")
    before = {name: LineageGraph(workspace, values).of(name).id for name in names}
    change(workspace, values)
    after = {name: LineageGraph(workspace, values).of(name).id for name in names}
    assert {name for name in names if before[name] != after[name]} == moved


@pytest.fixture
def used(workspace):
    """The workspace after both variants were made; ``left`` is of one that params.yaml no longer names."""
    for name in ("a", "b", "left"):
        (workspace / "used" / name).mkdir(parents=True)
        (workspace / "used" / name / "file").write_text(name)
    return workspace


def test_a_folder_below_which_stages_write_is_what_they_write(used):
    graph = LineageGraph(used, VALUES)
    lineage = graph.of("sum")
    assert lineage.parents == {name: graph.of(name).id for name in ("use@a", "use@b")}
    (used / "used" / "left" / "file").write_text("else")
    (used / "used" / "stray").write_text("else")
    assert LineageGraph(used, VALUES).of("sum") == lineage
    shutil.rmtree(used / "used" / "left")
    assert LineageGraph(used, VALUES).of("sum") == lineage


def test_a_folder_below_which_stages_write_counts_each_of_their_files(used):
    before = LineageGraph(used, VALUES).of("sum").id
    (used / "used" / "b" / "file").write_text("else")
    after = LineageGraph(used, VALUES).of("sum").id
    fewer = LineageGraph(used, {**VALUES, "variants": {"a": VALUES["variants"]["a"]}}).of("sum")
    assert len({before, after, fewer.id}) == 3
    assert list(fewer.parents) == ["use@a"]


def test_a_missing_variant_names_the_stage_that_makes_it(used):
    shutil.rmtree(used / "used" / "b")
    with pytest.raises(AssayError, match=r"used/b is missing\. Stage use@b makes it: dvc repro use@b"):
        LineageGraph(used, VALUES).of("sum")


def test_compiled_files_do_not_count(workspace):
    before = LineageGraph(workspace, VALUES).of("make").id
    (workspace / "raw" / "__pycache__").mkdir()
    (workspace / "raw" / "__pycache__" / "x.pyc").write_text("compiled")
    assert LineageGraph(workspace, VALUES).of("make").id == before


def test_templates_and_options_are_read(workspace):
    stage = LineageGraph(workspace, VALUES).stage("use@b")
    assert (stage.command, stage.outputs, stage.cached) == ("python use.py b", ("used/b",), False)
    assert stage.parameters == ("seed", "variants.b")


def test_a_missing_input_names_the_stage_that_makes_it(workspace):
    shutil.rmtree(workspace / "made")
    with pytest.raises(AssayError, match=r"made is missing\. Stage make makes it: dvc repro make"):
        LineageGraph(workspace, VALUES).of("use@a")


def test_missing_raw_data_name_both_ways_to_bring_them(tmp_path):
    Path(tmp_path / "dvc.yaml").write_text("stages:\n  ingest:\n    cmd: x\n    deps: [data/raw/cats]\n")
    with pytest.raises(AssayError, match=r"python -m src.fetch cats.*dvc add data/raw/cats"):
        LineageGraph(tmp_path, {}).of("ingest")
