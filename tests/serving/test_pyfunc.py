"""The registered model takes images as callers have them, and needs neither checkout nor pickle nor torch."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from src.registry.loading import load_model
from src.tracking.mlflow_store import connect, database
from src.tracking.sync import synchronize
from tests.support.journals import CLASSES, SIZE, add_epochs, begin, compressed, finish, png, trained
from tests.support.registries import decide_on
from tests.support.servers import free_port
from tests.support.workspaces import ROOT


def grey(value: int, *shape: int) -> np.ndarray:
    return np.full(shape or (SIZE, SIZE), value, np.uint8)


@pytest.fixture
def registered(root: Path, tmp_path: Path) -> Path:
    """A repository with a champion."""
    trained(root)
    lineage = compressed(root, tmp_path / "onnx").record["lineage"]
    decide_on(root, tmp_path / "onnx", lineage)
    assert [str(version) for version in synchronize(root).versions] == ["shapes version 1 (champion)"]
    return root


def test_images_in_classes_out(registered: Path) -> None:
    model = load_model(registered, "models:/shapes@champion")

    def labels(images: Any) -> list[Any]:
        return list(model.predict(images)["label"])

    encoded = [
        png(grey(0)),
        png(grey(255, 30, 20, 3)),
        base64.b64encode(png(grey(128))).decode(),
        b"no image",
    ]
    assert labels(pd.DataFrame({"image": encoded}))[:1] == ["circle"]
    assert labels(pd.DataFrame({"image": encoded}))[2:] == ["cross", None]
    arrays = [
        grey(0),
        grey(128, 3, 40, 40),
        grey(255, 40, 40, 3),
        grey(128, 1, SIZE, SIZE),
        grey(255, 9, 9, 4),
    ]
    assert labels(pd.DataFrame({"image": arrays})) == ["circle", "cross", "dot", "cross", "dot"]
    for shape in [(2, SIZE, SIZE), (2, 20, 20, 1), (2, 1, SIZE, SIZE), (2, 16, 16, 3)]:
        assert labels({"image": grey(255, *shape)}) == ["dot", "dot"]
        answer = model.unwrap_python_model().predict(None, grey(255, *shape))
        assert list(answer["label"]) == ["dot", "dot"]


def test_probabilities_and_errors(registered: Path) -> None:
    model = load_model(registered, "models:/shapes@champion")
    answer = model.predict(pd.DataFrame({"image": [grey(64), b"", grey(1, 2, 3, 4, 5)]}))
    assert list(answer.columns) == ["label", "probability", *(f"p_{name}" for name in CLASSES), "error"]
    shares = answer[[f"p_{name}" for name in CLASSES]].to_numpy()
    assert shares[0] == pytest.approx([0.5, 0.5, 0], abs=1e-4)
    assert np.isnan(shares[1:]).all()
    assert answer["error"][1] == "the file is empty (0 bytes)"
    assert "(2, 3, 4, 5)" in answer["error"][2]
    assert len(model.predict(pd.DataFrame({"image": []}, dtype=object))) == 0


def test_it_loads_where_there_is_no_checkout(registered: Path, tmp_path: Path) -> None:
    code = (
        "import sys, mlflow, pandas; mlflow.set_tracking_uri(sys.argv[1]);"
        "model = mlflow.pyfunc.load_model('models:/shapes@champion');"
        "answer = model.predict(pandas.DataFrame({'image': [bytes.fromhex(sys.argv[2])]}));"
        "import src; assert 'code' in src.__file__, src.__file__; assert 'torch' not in sys.modules;"
        "print(answer['label'][0])"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{database(registered)}", png(grey(255)).hex()]
    environment = {
        "PATH": "/usr/bin:/bin",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("dot", 0), done.stderr


@pytest.fixture
def int8(root: Path, tmp_path: Path) -> Path:
    """A repository whose champion computes with int8 numbers."""
    trained(root)
    lineage = compressed(root, tmp_path / "int8", variant="int8", int8=True).record["lineage"]
    decide_on(root, tmp_path / "int8", lineage, "int8")
    assert [str(version) for version in synchronize(root).versions] == ["shapes version 1 (champion)"]
    return root


SHADES = {"circle": 20, "cross": 120, "dot": 240}


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
    encoded = [png(grey(value)).hex() for value in SHADES.values()]
    command = [sys.executable, "-c", code, f"sqlite:///{database(int8)}", *encoded]
    done = subprocess.run(command, cwd=tmp_path, env=without_pickle(tmp_path), capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("circle cross dot\n0 1 2\n", 0), done.stderr


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
        images = [[base64.b64encode(png(grey(value))).decode()] for value in SHADES.values()]
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


def test_the_stored_model_says_what_it_needs(registered: Path) -> None:
    from mlflow.models import Model
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    client = connect(registered).client
    version = client.get_model_version_by_alias("shapes", "champion")
    folder = Path(
        client.get_logged_model(version.source.removeprefix("models:/")).artifact_location.removeprefix(
            "file://"
        )
    )
    names = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert not names & {".pkl", ".pickle", ".pt", ".pth"}
    needs = (folder / "requirements.txt").read_text().splitlines()
    assert {line.partition("==")[0] for line in needs} == {
        "mlflow",
        "numpy",
        "pandas",
        "pillow",
        "onnxruntime",
    }
    assert all("==" in line for line in needs)
    signature = Model.load(str(folder / "MLmodel")).signature
    assert signature.inputs.to_dict() == [{"type": "binary", "name": "image", "required": True}]
    example = (folder / "serving_input_example.json").read_text()
    assert json.loads(example)["dataframe_split"]["columns"] == ["image"]
    request = infer_and_parse_data(json.loads(example), signature.inputs)  # the way of `mlflow models serve`
    answer = load_model(registered, "models:/shapes@champion").predict(request)
    assert list(answer["label"]) == ["cross"]


def test_the_base_model_serves_through_torch(root: Path, tmp_path: Path) -> None:
    import torch

    from src.config.schema.model import Lenet
    from src.models.build import build_model
    from src.models.normalization import NormalizedModel
    from src.models.saving import Input, ModelSpec, Normalization, save_model

    lenet = Lenet(kind="lenet", activation="tanh", dropout=0.0)
    torch.manual_seed(0)
    network = build_model(lenet, 1, 3, (28, 28)).eval()
    spec = ModelSpec(lenet, CLASSES, Input(1, 28, 28, "pad"), Normalization([0.5], [0.25]))
    save_model(tmp_path / "base", network, spec)
    attempt = begin(root)
    add_epochs(attempt, range(1))
    attempt.add_model(tmp_path / "base")
    finish(attempt)
    synchronize(root)
    (model,) = connect(root).client.search_logged_models(["1"])
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 28, 28), dtype=np.uint8)
    answer = load_model(root, f"models:/{model.model_id}").predict(pd.DataFrame({"image": list(images)}))
    with torch.inference_mode():
        expected = NormalizedModel(network, [0.5], [0.25])(torch.from_numpy(images)).softmax(1).numpy()
    assert answer[[f"p_{name}" for name in CLASSES]].to_numpy() == pytest.approx(expected, abs=1e-6)


def test_predict_names_what_it_cannot_read(registered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images" / "deeper"
    folder.mkdir(parents=True)
    (folder / "dark.png").write_bytes(png(grey(10)))
    (folder / "bright.PNG").write_bytes(png(grey(250, 20, 20)))
    (folder / "broken.jpg").write_bytes(b"not a JPEG")
    (folder / "notes.txt").write_text("not even tried")

    def predict(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "src.predict", "--model", "models:/shapes@champion", *arguments]
        environment = {"DVC_ROOT": str(registered), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    done = predict(str(tmp_path / "images"), "--out", str(tmp_path / "out.csv"))
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == ["path", "label", "probability"]
    assert dict(zip(table["path"], table["label"], strict=True)) == {
        str(folder / "bright.PNG"): "dot",
        str(folder / "dark.png"): "circle",
    }
    assert "broken.jpg: not read: it is not a readable image" in done.stderr
    assert "2 of 3 files classified" in done.stderr
    assert predict(str(folder / "broken.jpg")).returncode == 1
    missing = predict(str(tmp_path / "nowhere"))
    assert (missing.returncode, "no such file or folder" in missing.stderr) == (1, True)


def test_a_model_that_is_not_there_is_named(root: Path) -> None:
    from src.core.errors import AssayError

    with pytest.raises(AssayError, match="models:/nothing@champion cannot be loaded"):
        load_model(root, "models:/nothing@champion")
