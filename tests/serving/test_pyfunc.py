"""The registered model takes images as callers have them, and needs nothing from this repository."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from src.core.errors import AssayError
from src.core.hashing import file_hash
from src.predict import predict
from src.registry.loading import load_model
from src.track import track
from src.tracking.logged_model import requirements, store_code
from src.tracking.mlflow_store import connect, database
from tests.support.journals import CLASSES, SIZE, add_epochs, begin, compressed, finish, png, trained
from tests.support.registries import decide_on
from tests.support.servers import free_port
from tests.support.workspaces import ROOT


def gray(value: int, *shape: int) -> np.ndarray:
    return np.full(shape or (SIZE, SIZE), value, np.uint8)


@pytest.fixture
def registered(root: Path, tmp_path: Path) -> Path:
    """A repository with a champion."""
    trained(root)
    lineage = compressed(root, tmp_path / "onnx").record["lineage"]
    decide_on(root, tmp_path / "onnx", lineage)
    assert [str(version) for version in track(root)[1]] == ["shapes version 1 (champion)"]
    return root


def test_images_in_classes_out(registered: Path) -> None:
    model = load_model(registered, "models:/shapes@champion")

    def labels(images: Any) -> list[Any]:
        return list(model.predict(images)["label"])

    encoded = [
        png(gray(0)),
        png(gray(255, 30, 20, 3)),
        base64.b64encode(png(gray(128))).decode(),
        b"no image",
    ]
    assert labels(pd.DataFrame({"image": encoded}))[:1] == ["circle"]
    assert labels(pd.DataFrame({"image": encoded}))[2:] == ["cross", None]
    arrays = [
        gray(0),
        gray(128, 3, 40, 40),
        gray(255, 40, 40, 3),
        gray(128, 1, SIZE, SIZE),
        gray(255, 9, 9, 4),
    ]
    assert labels(pd.DataFrame({"image": arrays})) == ["circle", "cross", "dot", "cross", "dot"]
    for shape in [(2, SIZE, SIZE), (2, 20, 20, 1), (2, 1, SIZE, SIZE), (2, 16, 16, 3)]:
        assert labels({"image": gray(255, *shape)}) == ["dot", "dot"]
        answer = model.unwrap_python_model().predict(None, gray(255, *shape))
        assert list(answer["label"]) == ["dot", "dot"]


def test_probabilities_and_errors(registered: Path) -> None:
    model = load_model(registered, "models:/shapes@champion")
    cells = [gray(64), b"", gray(1, 2, 3, 4, 5), "é", [[1, 2], [3]]]
    answer = model.predict(pd.DataFrame({"image": cells}))
    assert list(answer.columns) == ["label", "probability", *(f"p_{name}" for name in CLASSES), "error"]
    shares = answer[[f"p_{name}" for name in CLASSES]].to_numpy()
    assert shares[0] == pytest.approx([0.5, 0.5, 0], abs=1e-4)
    assert np.isnan(shares[1:]).all()
    assert answer["error"][1] == "the file is empty (0 bytes)"
    assert "(2, 3, 4, 5)" in answer["error"][2]
    assert "not an image file in base64" in answer["error"][3]
    assert answer["error"][4].startswith("its rows differ in length")
    assert len(model.predict(pd.DataFrame({"image": []}, dtype=object))) == 0


@pytest.mark.slow
def test_a_larger_image_than_the_training_data_allow_is_refused(root: Path, tmp_path: Path) -> None:
    """The limit is that of the data, data.max_pixels, in both directions; Pillow's own does not count."""
    trained(root)
    attempt = compressed(root, tmp_path / "onnx")
    (spec,) = attempt.folder.glob("model/model.json")
    content = json.loads(spec.read_text())
    content["input"]["max_pixels"] = 12000 * 9000
    spec.write_text(json.dumps(content))
    decide_on(root, tmp_path / "onnx", attempt.record["lineage"])
    track(root)
    model = load_model(root, "models:/shapes@champion")
    large, larger = (png(gray(255, height, 12000)) for height in (9000, 9001))
    answer = model.predict(pd.DataFrame({"image": [large, larger]}))
    assert list(answer["label"]) == ["cross", None]  # bright, between black bars
    assert answer["error"][1].startswith("12000×9001 pixels are more than data.max_pixels=108000000")


@pytest.mark.parametrize(("pad", "label"), [("black", "circle"), ("white", "dot"), ("edge", "circle")])
def test_a_served_model_pads_as_its_training_images_were(
    root: Path, tmp_path: Path, pad: str, label: str
) -> None:
    trained(root)
    attempt = compressed(root, tmp_path / "onnx")
    (spec,) = attempt.folder.glob("model/model.json")
    content = json.loads(spec.read_text())
    content["input"]["pad"] = pad
    spec.write_text(json.dumps(content))
    decide_on(root, tmp_path / "onnx", attempt.record["lineage"])
    track(root)
    wide = png(gray(0, 1, 100))  # black; nearly all of what the model sees is padding
    answer = load_model(root, "models:/shapes@champion").predict(pd.DataFrame({"image": [wide]}))
    assert list(answer["label"]) == [label]


def with_rule(root: Path, folder: Path, rule: dict[str, Any]) -> Any:
    """The champion of a repository, whose model.json has a decision rule."""
    trained(root)
    attempt = compressed(root, folder)
    (path,) = attempt.folder.glob("model/model.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decision": rule}))
    decide_on(root, folder, attempt.record["lineage"])
    track(root)
    return load_model(root, "models:/shapes@champion")


ABSTAIN = {"method": "abstain", "confidence": 0.9}
SETS = {"method": "conformal", "score": "lac", "quantile": 0.6, "stated": {"coverage": 0.9}}


@pytest.mark.parametrize(
    ("rule", "answers"),
    [(ABSTAIN, ["circle", None, None]), (SETS, [["circle"], ["circle", "cross"], None])],
    ids=["abstain", "sets"],
)
def test_a_served_model_answers_by_its_rule_beside_its_label(
    root: Path, tmp_path: Path, rule: dict[str, Any], answers: list[Any]
) -> None:
    """Gray 64 is as near to the circle as to the cross; of two equal classes the first is ahead."""
    model = with_rule(root, tmp_path / "onnx", rule)
    table = model.predict(pd.DataFrame({"image": [gray(0), gray(64), b"no image"]}))
    assert list(table["answer"]) == answers
    assert list(table["label"]) == ["circle", "circle", None]
    from mlflow.models import Model

    outputs = Model.load(str(model_folder(root) / "MLmodel")).signature.outputs
    (answer,) = [column for column in outputs.to_dict() if column["name"] == "answer"]
    assert (answer["type"], answer["required"]) == ("array" if rule is SETS else "string", False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "answers", "said"),
    [
        (ABSTAIN, ["circle", ""], "answer: the most probable class from 0.9 on, else no answer"),
        (SETS, ['["circle"]', '["circle", "cross"]'], "answer: a set of classes, which contains"),
    ],
    ids=["abstain", "sets"],
)
def test_predict_answers_by_the_rule_and_says_so(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rule: dict[str, Any],
    answers: list[str],
    said: str,
) -> None:
    with_rule(root, tmp_path / "onnx", rule)
    images = [tmp_path / "dark.png", tmp_path / "middle.png"]
    for path, value in zip(images, (0, 64), strict=True):
        path.write_bytes(png(gray(value)))
    monkeypatch.setenv("DVC_ROOT", str(root))
    assert predict(images, "models:/shapes@champion", tmp_path / "out.csv")[0] == 2
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(table.columns) == ["path", "label", "probability", "answer"]
    assert list(table["answer"]) == answers
    assert said in capsys.readouterr().err


def test_a_model_that_was_stored_before_there_were_rules_is_served_with_its_own_code(
    root: Path, tmp_path: Path
) -> None:
    trained(root)
    attempt = compressed(root, tmp_path / "onnx")
    store_code(attempt.folder, ROOT)
    code = attempt.folder / "serving"
    (code / "decision.py").unlink()
    text = (code / "pyfunc.py").read_text()
    without = text.replace('decision: Any = _import_sibling("decision.py")\n', "")
    assert without != text
    (code / "pyfunc.py").write_text(without)
    decide_on(root, tmp_path / "onnx", attempt.record["lineage"])
    track(root)
    answer = load_model(root, "models:/shapes@champion").predict(pd.DataFrame({"image": [gray(0)]}))
    assert list(answer["label"]) == ["circle"] and "answer" not in answer


CLASSIFY = """
import sys, mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
images = pandas.DataFrame({"image": [bytes.fromhex(text) for text in sys.argv[2:]]})

def classify(model):
    return " ".join(mlflow.pyfunc.load_model(model).predict(images)["label"])
"""


def in_a_process(folder: Path, root: Path, code: str, *values: int) -> str:
    """What Python prints that knows nothing of this repository, in ``folder``; ``values``: images."""
    images = [png(gray(value)).hex() for value in values]
    command = [sys.executable, "-c", CLASSIFY + code, f"sqlite:///{database(root)}", *images]
    done = subprocess.run(command, cwd=folder, env=without_pickle(folder), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_it_needs_no_repository_and_changes_nothing_global(registered: Path, tmp_path: Path) -> None:
    """Also in a project that has a package ``src`` of its own."""
    (tmp_path / "src/serving").mkdir(parents=True)
    (tmp_path / "src/__init__.py").write_text("OTHER = True\n")
    (tmp_path / "src/serving/__init__.py").write_text("")
    code = """
import threading, warnings
from PIL import Image, ImageFile
import onnxruntime, src.serving

def state():
    return [
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, [*sys.path], [*sys.meta_path],
        [*warnings.filters], threading.active_count(),
    ]

mlflow.get_registry_uri(), mlflow.search_registered_models()  # what MLflow changes by itself
before = state()
print(classify("models:/shapes@champion"))
assert state() == before, (before, state())
assert src.OTHER and [name for name in sys.modules if name.startswith("src")] == ["src", "src.serving"]
assert "torch" not in sys.modules
"""
    assert in_a_process(tmp_path, registered, code, 255, 0) == "dot circle"


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A checkout of a later commit, in which the decoder turns dark into bright."""
    checkout = tmp_path / "later commit"
    shutil.copytree(ROOT / "src", checkout / "src", ignore=shutil.ignore_patterns("__pycache__"))
    decoding = checkout / "src/serving/decoding.py"
    code = decoding.read_text()
    inverted = code.replace("    return pixels[None]", "    return 255 - pixels[None]")
    assert inverted != code
    decoding.write_text(inverted)
    return checkout


def track_in(checkout: Path, root: Path) -> None:
    """``python -m src.track`` of that checkout."""
    environment = without_pickle(checkout) | {"DVC_ROOT": str(root)}
    subprocess.run([sys.executable, "-m", "src.track"], cwd=checkout, env=environment, check=True)


@pytest.mark.slow
def test_each_version_decodes_with_the_code_it_was_registered_with(
    registered: Path, changed: Path, tmp_path: Path
) -> None:
    """Whatever the working tree has become, and beside the other version in one process."""
    trained(registered, "two")
    lineage = compressed(registered, tmp_path / "two", "two").record["lineage"]
    decide_on(registered, tmp_path / "two", lineage)
    track_in(changed, registered)
    code = 'print(*(classify(f"models:/shapes/{number}") for number in (2, 1, 2)), sep=", ")'
    assert in_a_process(tmp_path, registered, code, 0, 255) == "dot circle, circle dot, dot circle"
    (tmp_path / "dark.png").write_bytes(png(gray(0)))
    command = [sys.executable, "-m", "src.predict", str(tmp_path / "dark.png"), "--model", "models:/shapes/1"]
    environment = without_pickle(tmp_path) | {"DVC_ROOT": str(registered)}
    done = subprocess.run(command, cwd=changed, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[1].split(",")[1] == "circle", done.stderr


@pytest.mark.prove
def test_a_view_that_is_made_again_serves_with_the_code_in_the_journal(
    root: Path, changed: Path, tmp_path: Path
) -> None:
    trained(root)
    attempt = compressed(root, tmp_path / "onnx")
    store_code(attempt.folder, ROOT)
    decide_on(root, tmp_path / "onnx", attempt.record["lineage"])
    track_in(changed, root)
    assert in_a_process(tmp_path, root, 'print(classify("models:/shapes@champion"))', 0, 255) == "circle dot"


@pytest.mark.prove
def test_its_own_requirements_are_enough(registered: Path, tmp_path: Path) -> None:
    """In an environment with nothing else installed."""
    folder = model_folder(registered)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "-q", "-r", folder / "requirements.txt"]
    subprocess.run(install, check=True)
    code = CLASSIFY + 'print(classify("models:/shapes@champion"))'
    images = [png(gray(value)).hex() for value in (255, 0)]
    command = [python, "-c", code, f"sqlite:///{database(registered)}", *images]
    done = subprocess.run(command, cwd=tmp_path, env=without_pickle(tmp_path), capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("dot circle\n", 0), done.stderr
    missing = subprocess.run([python, "-c", "import torch"], capture_output=True, text=True)
    assert "No module named 'torch'" in missing.stderr


@pytest.fixture
def int8(root: Path, tmp_path: Path) -> Path:
    """A repository whose champion computes with int8 numbers."""
    trained(root)
    lineage = compressed(root, tmp_path / "int8", variant="int8", int8=True).record["lineage"]
    decide_on(root, tmp_path / "int8", lineage, "int8")
    assert [str(version) for version in track(root)[1]] == ["shapes version 1 (champion)"]
    return root


SHADES = {"circle": 20, "cross": 120, "dot": 240}


@pytest.mark.slow
def test_an_int8_version_loads_as_pyfunc_and_in_onnx_runtime(int8: Path, tmp_path: Path) -> None:
    """Just as the model card says; in a process of its own, where pickle is forbidden from the start."""
    code = (
        "import sys, mlflow, pandas, numpy, onnxruntime; mlflow.set_tracking_uri(sys.argv[1]);"
        "model = mlflow.pyfunc.load_model('models:/shapes@champion');"
        "files = [bytes.fromhex(text) for text in sys.argv[2:]];"
        "print(*model.predict(pandas.DataFrame({'image': files}))['label']);"
        "folder = mlflow.artifacts.download_artifacts('models:/shapes/1');"
        "session = onnxruntime.InferenceSession(f'{folder}/artifacts/model/model.onnx');"
        f"shape, shades = (1, {SIZE}, {SIZE}), {[*SHADES.values()]};"
        "pixels = numpy.stack([numpy.full(shape, shade, numpy.uint8) for shade in shades]);"
        "print(*session.run(['logits'], {'images': pixels})[0].argmax(1))"
    )
    encoded = [png(gray(value)).hex() for value in SHADES.values()]
    command = [sys.executable, "-c", code, f"sqlite:///{database(int8)}", *encoded]
    done = subprocess.run(command, cwd=tmp_path, env=without_pickle(tmp_path), capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("circle cross dot\n0 1 2\n", 0), done.stderr


@pytest.mark.slow
def test_an_int8_version_answers_base64_from_mlflow_models_serve(int8: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/shapes@champion"]
    environment = without_pickle(tmp_path) | {"MLFLOW_TRACKING_URI": f"sqlite:///{database(int8)}"}
    options = ["--env-manager", "local", "--port", str(port), "--workers", "1"]
    with (tmp_path / "log.txt").open("w") as log:
        server = subprocess.Popen(
            [*command, *options],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/ping", server, tmp_path / "log.txt")
        images = [[base64.b64encode(png(gray(value))).decode()] for value in SHADES.values()]
        no_image = base64.b64encode(b"no image").decode()
        request = {"dataframe_split": {"columns": ["image"], "data": [*images, [no_image]]}}
        answer = requests.post(f"http://127.0.0.1:{port}/invocations", json=request, timeout=60)
        assert answer.status_code == 200, answer.text
        rows = answer.json()["predictions"]
        assert [row["label"] for row in rows] == [*SHADES, None]
        assert "not a readable image" in rows[-1]["error"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_until_it_answers(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(address, timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    pytest.fail(log.read_text())


def without_pickle(home: Path) -> dict[str, str]:
    """The environment of a process that may not unpickle, and knows nothing of this one's."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return {"PATH": path, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "HOME": str(home)}


def model_folder(root: Path) -> Path:
    """Where the files of the champion are."""
    client = connect(root).client
    version = client.get_model_version_by_alias("shapes", "champion")
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    return Path(model.artifact_location.removeprefix("file://"))


def test_the_stored_model_says_what_it_needs(registered: Path) -> None:
    from mlflow.models import Model
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    folder = model_folder(registered)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    code = {file for file in files if file.endswith((".py", ".pkl", ".pickle", ".pt", ".pth"))}
    assert code == {"pyfunc.py", "decoding.py", "decision.py"}
    assert {file for file in files if "/" in file} == {
        "artifacts/model/model.onnx",
        "artifacts/model/model.json",
    }
    needs = (folder / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in needs] == [
        "mlflow",
        "numpy",
        "onnxruntime",
        "pandas",
        "pillow",
    ]
    assert all("==" in line for line in needs)
    signature = Model.load(str(folder / "MLmodel")).signature
    assert signature.inputs.to_dict() == [{"type": "binary", "name": "image", "required": True}]
    example = (folder / "serving_input_example.json").read_text()
    assert json.loads(example)["dataframe_split"]["columns"] == ["image"]
    request = infer_and_parse_data(json.loads(example), signature.inputs)  # the way of `mlflow models serve`
    answer = load_model(registered, "models:/shapes@champion").predict(request)
    assert list(answer["label"]) == ["cross"]


def test_versions_come_from_the_lock(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(
        "--extra-index-url https://example.org\n# all\nNumPy==1.2 ; python_version > '3'\npandas==9  # why\n"
    )
    found = dict(line.split("==") for line in requirements(tmp_path))
    assert (found["numpy"], found["pandas"], found["pillow"]) == ("1.2", "9", metadata.version("pillow"))
    assert list(found) == ["mlflow", "numpy", "onnxruntime", "pandas", "pillow"]


@pytest.mark.slow
def test_a_project_of_uv_does_not_get_into_the_model(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow copies pyproject.toml and uv.lock of the current folder, if it may."""
    for name in ("uv.lock", "pyproject.toml"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    trained(root)
    lineage = compressed(root, tmp_path / "onnx").record["lineage"]
    decide_on(root, tmp_path / "onnx", lineage)
    track(root)
    assert not {path.name for path in model_folder(root).iterdir()} & {"uv.lock", "pyproject.toml"}


def test_the_base_model_is_kept_as_files(root: Path, tmp_path: Path) -> None:
    """Nobody serves torch's weights: they are artifacts of the run, and no model of MLflow's."""
    (tmp_path / "base").mkdir()
    for name in ("model.safetensors", "model.json"):
        (tmp_path / "base" / name).write_text(name)
    attempt = begin(root)
    add_epochs(attempt, range(1))
    attempt.add_model(tmp_path / "base")
    finish(attempt)
    for _ in range(2):  # the second time nothing is left to do
        track(root)
    client = connect(root).client
    assert not client.search_logged_models(["1"])
    (run,) = client.search_runs(["1"])
    files = {file.path for file in client.list_artifacts(run.info.run_id, "model")}
    assert files == {"model/model.safetensors", "model/model.json"}
    assert run.data.tags["model.sha256"] == file_hash(tmp_path / "base/model.safetensors")
    assert "model.id" not in run.data.tags


@pytest.mark.prove
def test_predict_names_what_it_cannot_read(registered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images" / "deeper"
    folder.mkdir(parents=True)
    (folder / "dark.png").write_bytes(png(gray(10)))
    (folder / "bright.PNG").write_bytes(png(gray(250, 20, 20)))
    (folder / "broken.jpg").write_bytes(b"not a JPEG")
    (folder / "notes.txt").write_text("not even tried")
    (folder / "moving.gif").write_bytes(b"GIF89a")
    for hidden in (".thumbnails", "__MACOSX"):
        (folder / hidden).mkdir()
        (folder / hidden / "dark.png").write_bytes(png(gray(10)))
    latin = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png"))
    latin.write_bytes(png(gray(10)))

    def predict(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "src.predict", "--model", "models:/shapes@champion", *arguments]
        environment = {"DVC_ROOT": str(registered), "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "ascii"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    done = predict(str(tmp_path / "images"), "--out", str(tmp_path / "new/out.csv"))
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "new/out.csv")
    assert list(table.columns) == ["path", "label", "probability"]
    assert dict(zip(table["path"], table["label"], strict=True)) == {
        str(folder / "bright.PNG"): "dot",
        str(folder / "dark.png"): "circle",
        str(folder / r"caf\xe9.png"): "circle",
    }
    assert "broken.jpg: not classified: it is not a readable image" in done.stderr
    assert "moving.gif: not classified: it is not a readable image" in done.stderr
    assert "3 of 5 files classified by models:/shapes/1" in done.stderr
    (tmp_path / "thé.png").write_bytes(png(gray(10)))
    done = predict(str(tmp_path / "thé.png"), str(latin))
    assert done.stdout.count("circle") == 2 and r"caf\xe9.png,circle" in done.stdout, done.stderr
    assert predict(str(folder / "broken.jpg")).returncode == 1
    missing = predict(str(tmp_path / "nowhere"))
    assert (missing.returncode, "no such file or folder" in missing.stderr) == (1, True)


def test_a_model_that_is_not_there_is_named(root: Path) -> None:
    from src.core.errors import AssayError

    with pytest.raises(AssayError, match="models:/nothing@champion cannot be loaded"):
        load_model(root, "models:/nothing@champion")


def test_predict_refuses_a_folder_as_its_output_before_it_classifies(tmp_path):
    with pytest.raises(AssayError, match=r"--out .* is a folder: name a file, such as .*labels\.csv"):
        predict([tmp_path], None, tmp_path)
