"""What is kept of ``conf/`` never differs from what it says now."""

import json
import shutil
from pathlib import Path

import pytest

from src.config.composition_cache import default_composition
from src.config.loading import compose
from src.core.errors import AssayError
from tests.support.workspaces import ROOT


@pytest.fixture(autouse=True)
def _in_a_copy(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)


CACHE = Path(".assay/cache/conf.json")


def test_it_is_the_composition_also_after_a_change_of_a_file():
    assert default_composition(CACHE) == compose()
    config = Path("conf/config.yaml")
    config.write_text(config.read_text().replace("experiment: null", "experiment: tiny"))
    assert default_composition(CACHE) == compose()
    assert default_composition(CACHE)["train"]["epochs"] == 2


def test_the_second_time_nothing_is_composed():
    default_composition(CACHE)
    content = json.loads(CACHE.read_text())
    content["values"]["seed"] = "kept"
    CACHE.write_text(json.dumps(content))
    assert default_composition(CACHE)["seed"] == "kept"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"values": 1}'])
def test_a_damaged_file_is_made_again(text):
    CACHE.parent.mkdir(parents=True)
    CACHE.write_text(text)
    assert default_composition(CACHE) == compose()
    assert json.loads(CACHE.read_text())["values"] == compose()


def test_where_nothing_can_be_kept_it_is_composed(tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert default_composition(Path("file/conf.json")) == compose()


def test_what_does_not_compose_is_an_error():
    default_composition(CACHE)
    Path("conf/config.yaml").write_text("seed: [")
    with pytest.raises(AssayError):
        default_composition(CACHE)


@pytest.mark.parametrize("values", ["[]", "5", '"x"', "null"])
def test_what_is_no_composition_is_made_again(values):
    default_composition(CACHE)
    content = json.loads(CACHE.read_text())
    CACHE.write_text(json.dumps({**content, "values": json.loads(values)}))
    assert default_composition(CACHE) == compose()


def test_what_depends_on_the_environment_is_not_kept(monkeypatch):
    config = Path("conf/config.yaml")
    config.write_text(config.read_text().replace("seed: 0", "seed: ${oc.decode:${oc.env:SEED}}"))
    for seed in ("1", "2"):
        monkeypatch.setenv("SEED", seed)
        assert default_composition(CACHE)["seed"] == int(seed)


def test_a_linked_folder_is_not_kept(tmp_path):
    shutil.move("conf/model", "elsewhere")
    Path("conf/model").symlink_to(tmp_path / "elsewhere")
    before = default_composition(CACHE)["model"]["dropout"]
    file = tmp_path / "elsewhere/cnn.yaml"
    file.write_text(file.read_text().replace(f"dropout: {before}", "dropout: 0.25"))
    assert default_composition(CACHE)["model"]["dropout"] == 0.25


def test_a_name_that_is_not_utf8_is_composed_again():
    Path("conf/data/caf\udce9.yaml").write_text("")
    assert default_composition(CACHE) == compose()
