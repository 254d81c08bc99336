"""``dvc.yaml`` is read by DVC itself: every way to write a stage works."""

import json
import multiprocessing
import subprocess
import sys
import textwrap

import pytest

from src.core.errors import AssayError
from src.provenance import dvc_yaml
from src.provenance.dvc_yaml import read_pipeline


def pipeline(folder, text, params="{}", cache=None, **files):
    for name, content in {"dvc.yaml": text, "params.yaml": params, **files}.items():
        (folder / name.replace("_yaml", ".yaml")).write_text(textwrap.dedent(content))
    return read_pipeline(folder, cache)


def test_options_of_a_stage(tmp_path):
    found = pipeline(
        tmp_path,
        """
        stages:
          one:
            cmd: [echo a, echo b]
            params: [seed, params.yaml: [train.epochs]]
            deps: [raw]
            outs:
              - made:
                  cache: false
            metrics: [metrics.json]
            meta: {observation: true}
        """,
        "seed: 010\ntrain: {epochs: 2}",
    )["one"]
    assert found.command == "echo a && echo b"
    assert found.parameters == ("seed", "train.epochs")
    assert (found.dependencies, found.outputs) == (("raw",), ("made", "metrics.json"))
    assert (found.cached, found.observation) == (False, True)


@pytest.mark.parametrize(
    ("variants", "made"),
    [
        ("{a: {lr: 1}, b: {lr: 2}}", {"use@a": "use a 1", "use@b": "use b 2"}),
        ("{c: {lr: 3}}", {"use@c": "use c 3"}),
    ],
)
def test_foreach_over_a_mapping(tmp_path, variants, made):
    text = """
    stages:
      use:
        foreach: ${variants}
        do:
          cmd: use ${key} ${item.lr}
          params: ["variants.${key}"]
          outs: ["used/${key}"]
    """
    found = pipeline(tmp_path, text, f"variants: {variants}")
    assert {name: stage.command for name, stage in found.items()} == made
    assert [stage.parameters for stage in found.values()] == [(f"variants.{name[-1]}",) for name in made]


def test_foreach_over_a_list(tmp_path):
    text = "stages: {use: {foreach: [x, y], do: {cmd: 'use ${item}'}}}"
    assert [stage.command for stage in pipeline(tmp_path, text).values()] == ["use x", "use y"]


def test_matrix(tmp_path):
    text = """
    stages:
      train:
        matrix:
          model: [cnn, lenet]
          seed: ${seeds}
        cmd: train ${item.model} ${item.seed} ${key}
        outs: ["models/${key}"]
    """
    found = pipeline(tmp_path, text, "seeds: [0, 1]")
    assert list(found) == ["train@cnn-0", "train@cnn-1", "train@lenet-0", "train@lenet-1"]
    assert found["train@lenet-1"].command == "train lenet 1 lenet-1"
    assert found["train@cnn-0"].outputs == ("models/cnn-0",)


def test_vars_of_the_pipeline_and_of_a_stage(tmp_path):
    text = """
    vars: [common.yaml, {suffix: x}]
    stages:
      one:
        vars: [own.yaml]
        cmd: run ${folder} ${suffix} ${size} ${seed}
        deps: ["${folder}/in"]
    """
    found = pipeline(tmp_path, text, "seed: 7", common_yaml="folder: data", own_yaml="size: 3")["one"]
    assert (found.command, found.dependencies) == ("run data x 3 7", ("data/in",))


def test_paths_of_a_stage_with_a_working_folder_count_from_the_root(tmp_path):
    (tmp_path / "sub").mkdir()
    found = pipeline(tmp_path, "stages: {one: {cmd: x, wdir: sub, deps: [../raw, in], outs: [out]}}")["one"]
    assert (found.dependencies, found.outputs) == (("raw", "sub/in"), ("sub/out",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {one: {cmd: 'x ${no.such}'}}", r"dvc.yaml cannot be resolved:.*no.such"),
        ("stages: [", r"dvc\.yaml cannot be read"),
        ("- one", "dvc.yaml has no stages"),
        ("stages: {one: {deps: [a]}}", "dvc.yaml is not valid"),
        ("stages: {one: {cmd: x, params: [other.yaml: [a]]}}", "takes parameters from other.yaml"),
    ],
)
def test_faults_are_named(tmp_path, text, message):
    with pytest.raises(AssayError, match=message):
        pipeline(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AssayError, match=r"dvc\.yaml is missing"):
        read_pipeline(tmp_path)


TEMPLATE = "vars: [more.yaml]\nstages: {one: {cmd: 'x ${seed} ${word}', deps: [a]}}"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / ".assay/cache/dvc_yaml.json"


@pytest.fixture
def cached(tmp_path, cache, monkeypatch):
    """A folder whose pipeline is cached; DVC must not be asked again."""
    first = pipeline(tmp_path, TEMPLATE, "seed: 1", cache, more_yaml="word: a")
    assert first == read_pipeline(tmp_path, cache)
    assert cache.is_file()
    asked = []
    resolve = dvc_yaml._resolve
    monkeypatch.setattr(dvc_yaml, "_resolve", lambda *given: asked.append(1) or resolve(*given))
    assert read_pipeline(tmp_path, cache) == first
    assert asked == []
    return asked


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("params.yaml", "seed: 2", "x 2 a"),
        ("more.yaml", "word: b", "x 1 b"),
        ("dvc.yaml", TEMPLATE.replace("x ", "y "), "y 1 a"),
    ],
)
def test_the_cache_follows_every_file(tmp_path, cache, cached, name, content, command):
    (tmp_path / name).write_text(content)
    for _ in range(2):
        assert read_pipeline(tmp_path, cache)["one"].command == command
    assert cached == [1]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"files": {}, "stages": {"one": {}}}', b"\xff"])
def test_a_damaged_cache_is_made_again(tmp_path, cache, cached, damage):
    cache.write_bytes(damage)
    assert read_pipeline(tmp_path, cache)["one"].command == "x 1 a"
    assert read_pipeline(tmp_path, cache)["one"].command == "x 1 a"
    assert cached == [1]


def test_a_cache_of_another_dvc_or_of_other_code_is_made_again(tmp_path, cache, cached, monkeypatch):
    monkeypatch.setattr(dvc_yaml, "version", lambda package: f"another {package}")
    assert read_pipeline(tmp_path, cache)["one"].command == "x 1 a"
    assert cached == [1]


def test_an_empty_cache_is_not_an_empty_pipeline(tmp_path, cache, cached):
    made_by = json.loads(cache.read_text())["made_by"]
    cache.write_text(json.dumps({"made_by": made_by, "files": {}, "stages": {}}))
    assert read_pipeline(tmp_path, cache)["one"].command == "x 1 a"
    assert cached == [1]


def test_processes_share_the_cache(tmp_path, cache):
    pipeline(tmp_path, TEMPLATE, "seed: 1", more_yaml="word: a")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.starmap(read_pipeline, [(tmp_path, cache)] * 8)
    assert [stages["one"].command for stages in found] == ["x 1 a"] * 8
    assert [path.name for path in cache.parent.iterdir()] == ["dvc_yaml.json"]


def test_a_cached_pipeline_does_not_import_dvc(tmp_path, cache):
    pipeline(tmp_path, TEMPLATE, "seed: 1", cache, more_yaml="word: a")
    code = """
        import pathlib, sys
        from src.provenance.dvc_yaml import read_pipeline
        read_pipeline(*map(pathlib.Path, sys.argv[1:]))
        print("dvc" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), str(cache)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
