"""``python -m src.start`` in a clone: a real folder becomes settings that compose, or nothing changes."""

import signal
import sys
import time

import pytest
import yaml

from tests.support.pictures import write_folder
from tests.support.workspaces import ROOT, Workspace

OFFLINE = {"HF_HUB_OFFLINE": "1"}


def start(workspace: Workspace, *arguments: str, check: bool = True):
    return workspace.run(sys.executable, "-m", "src.start", *arguments, check=check, **OFFLINE)


def status(workspace: Workspace) -> str:
    return workspace.run("git", "status", "--short", "--untracked-files=all").stdout


@pytest.fixture
def photos(tmp_path):
    write_folder(tmp_path / "my photos", {"cat": 25, "dog": 20})
    return tmp_path / "my photos"


@pytest.mark.prove
def test_a_dry_run_shows_everything_and_leaves_no_trace(workspace, photos):
    done = start(workspace, str(photos), "--dry-run", "--goal", "balanced")
    assert status(workspace) == ""
    assert not (workspace / "data/raw/my_photos").exists()
    for line in ("The data", "The machine", "What to try", "What to deploy", "45 images in 2 classes"):
        assert line in done.stdout
    assert "--- conf/data/my_photos.yaml would be:" in done.stdout
    assert "class_weights: effective_number" in done.stdout
    assert "images as small as these show too little" in done.stdout
    assert "Nothing was written." in done.stdout


@pytest.mark.slow
def test_it_writes_settings_that_compose_copies_the_images_and_names_the_next_command(workspace, photos):
    done = start(workspace, str(photos), "--name", "pets")
    assert "\nNext: dvc repro\n" in done.stdout
    assert "git status shows them" in done.stdout
    assert "?? conf/experiment/pets.yaml" in status(workspace)
    assert "copied 45 files" in done.stdout
    assert len(list((workspace / "data/raw/pets").glob("*/*.png"))) == 45
    assert len(list(photos.glob("*/*.png"))) == 45
    assert (workspace / "data/raw/pets.dvc").is_file()
    workspace.run(sys.executable, "-m", "src.compose", "--check")
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    assert (params["data"]["name"], params["data"]["image_size"]) == ("pets", [12, 16])
    assert params["split"]["method"] == "stratified"
    assert "# - The split is stratified" in (workspace / "conf/experiment/pets.yaml").read_text()
    assert list(params["compress"]["variants"]) == ["onnx_fp32", "int8_static"]
    again = start(workspace, str(photos), "--name", "pets", check=False)
    assert again.returncode == 1
    assert "pets is taken (conf/data/pets.yaml" in again.stderr
    assert "Choose another name: --name OTHER" in again.stderr
    assert "set `- experiment: null` in conf/config.yaml, and run `python -m src.compose`" in again.stderr


@pytest.mark.prove
def test_a_dry_run_says_that_the_name_is_taken(workspace, photos):
    (workspace / "conf/data/pets.yaml").write_text("name: pets\n")
    shown = start(workspace, str(photos), "--name", "pets", "--dry-run")
    assert "pets is taken (conf/data/pets.yaml" in shown.stdout
    assert "Nothing was written." in shown.stdout


@pytest.mark.prove
def test_what_fails_at_the_end_undoes_everything_in_git_too(workspace, photos):
    config = workspace / "conf/config.yaml"
    config.write_text(config.read_text().replace("- experiment: null", '- "experiment": null'))
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Another spelling")
    done = start(workspace, str(photos), check=False)
    assert done.returncode == 1
    assert "conf/config.yaml has no line `- experiment: null`" in done.stderr
    assert "is tracked by DVC" in done.stdout  # so there was something to undo
    assert status(workspace) == ""
    assert not (workspace / "data/raw/my_photos").exists()


@pytest.mark.prove
def test_ctrl_c_leaves_nothing_half_made(workspace, photos):
    process = workspace.start(sys.executable, "-m", "src.start", str(photos), **OFFLINE)
    assert process.stdout is not None
    for line in process.stdout:
        if "copied 45 files" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait() == 130
    assert "start interrupted. Nothing is half done" in rest
    for _ in range(50):  # DVC, which was stopped too, may still be ending
        if not status(workspace):
            break
        time.sleep(0.1)
    assert status(workspace) == ""
    assert not (workspace / "data/raw/my_photos").exists()


@pytest.mark.prove
def test_a_folder_in_data_raw_stays_and_keeps_its_name(workspace):
    write_folder(workspace / "data/raw/pets", {"cat": 12, "dog": 12})
    refused = start(workspace, "data/raw/pets", "--name", "animals", check=False)
    assert "leave out --name, or rename the folder" in refused.stderr
    done = start(workspace, "data/raw/pets")
    assert "data/raw/pets stays where it is" in done.stdout
    assert (workspace / "data/raw/pets.dvc").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--goal", "best"], "--goal must be one of accuracy, balanced, size, speed, recall:CLASS"),
        (["--minutes", "0"], "--minutes must be above 0, but got 0"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(arguments, message):
    done = start(Workspace(ROOT), "nowhere", *arguments, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["x" * 300, "ü", "a'b", "a b", ".hidden"])
def test_a_name_that_no_data_set_can_have_is_refused_at_once(workspace, photos, name):
    done = start(workspace, str(photos), "--name", name, check=False)
    assert done.returncode == 1
    assert "a name has letters of a to z, digits, _, . and -" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_link_to_nowhere_takes_a_name_and_stays(workspace, photos):
    link = workspace / "data/raw/pets"
    link.symlink_to("/nowhere")
    done = start(workspace, str(photos), "--name", "pets", check=False)
    assert "pets is taken (data/raw/pets)" in done.stderr
    assert link.is_symlink()
