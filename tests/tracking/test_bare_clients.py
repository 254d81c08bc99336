"""MLflow's own clients find everything in the repository without a variable, and without this project."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from src.core.errors import AssayError
from src.track import track
from src.tracking.mlflow_store import connect, create_database, database, unreachable
from src.tracking.rebuild import rebuild
from src.tracking.sync import synchronize
from tests.support.journals import begin, compressed, count, finish, lineage_of, nothing, trained
from tests.support.registries import decide_on
from tests.support.workspaces import ROOT

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


def bare(root: Path, code: str, **environment: str) -> subprocess.Popen[str]:
    """Start Python in the repository as somebody does who has MLflow but not this project."""
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, env=QUIET | environment, stdout=-1, stderr=-1, text=True
    )


def answer(root: Path, code: str, **environment: str) -> str:
    """What a bare client prints."""
    process = bare(root, code, **environment)
    out, error = process.communicate()
    assert process.returncode == 0, error
    return out


def experiments(root: Path) -> list[tuple[int, str, str]]:
    """Id, name and artifact location of all experiments."""
    with closing(sqlite3.connect(database(root))) as connection:
        query = "SELECT experiment_id, name, artifact_location FROM experiments ORDER BY experiment_id"
        return connection.execute(query).fetchall()


@pytest.mark.slow
def test_a_bare_client_finds_runs_and_loads_the_champion(root: Path, tmp_path: Path) -> None:
    trained(root)
    variant = compressed(root, tmp_path / "onnx").record
    decide_on(root, tmp_path / "onnx", variant["lineage"])
    track(root)
    code = (
        "import io, json, mlflow, pandas; from PIL import Image;"
        "runs = mlflow.search_runs(experiment_names=['shapes']);"
        "file = io.BytesIO(); Image.new('L', (8, 8), 255).save(file, 'PNG');"
        "model = mlflow.pyfunc.load_model('models:/shapes@champion');"
        "labels = model.predict(pandas.DataFrame({'image': [file.getvalue()]}))['label'];"
        "print(json.dumps([sorted(runs['tags.stage']), *labels]))"
    )
    assert json.loads(answer(root, code)) == [["compress", "train"], "dot"]


@pytest.mark.prove
def test_the_layout_is_that_of_a_bare_client(tmp_path: Path) -> None:
    ours, theirs = (tmp_path / name for name in ("ours", "theirs"))
    for folder in (ours, theirs):
        folder.mkdir()
    begin(ours)
    synchronize(ours)
    log = "import mlflow; mlflow.set_experiment('shapes'); mlflow.start_run(); mlflow.log_text('', 'a.txt')"
    answer(theirs, log)
    assert [(number, name, Path(place).relative_to(ours)) for number, name, place in experiments(ours)] == [
        (number, name, Path(place).relative_to(theirs)) for number, name, place in experiments(theirs)
    ]
    (run,) = connect(ours).client.search_runs(["1"])
    (artifact,) = theirs.glob("mlruns/*/*/artifacts/a.txt")
    expected = artifact.relative_to(theirs).parts
    assert Path(run.info.artifact_uri).relative_to(ours).parts == (
        *expected[:2],
        run.info.run_id,
        "artifacts",
    )


@pytest.mark.prove
@pytest.mark.parametrize("first", ["bare", "assay"])
def test_bare_clients_and_stages_create_the_database_side_by_side(tmp_path: Path, first: str) -> None:
    stage = (
        "import sys; from pathlib import Path; from src.tracking.live import Tracker;"
        "from tests.support.journals import *; root = Path(sys.argv[1]); name = sys.argv[2];"
        "attempt = begin(root, 'train', name); tracker = Tracker(root, lineage_of(name));"
        "tracker.start(); finish(attempt); tracker.finish()"
    )

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", stage, str(tmp_path), name]
        return subprocess.Popen(command, env={**os.environ, "ASSAY_TRACKING": ""}, stderr=-1, text=True)

    log = "import mlflow; mlflow.set_experiment('mine'); mlflow.start_run(run_name='bare')"
    client = bare(tmp_path, log) if first == "bare" else None
    while client is not None and not database(tmp_path).exists():
        assert client.poll() is None  # it is creating the database from here on
    stages = [start(name) for name in ("1", "2")]
    while not database(tmp_path).exists():
        assert stages[0].poll() is None
    client = client or bare(tmp_path, log)
    assert [process.communicate()[1] for process in stages] == ["", ""]
    client.communicate()
    assert client.returncode == 0
    runs = connect(tmp_path).client.search_runs([str(number) for number, *_ in experiments(tmp_path)])
    assert sorted(run.data.tags.get("lineage.id", "bare") for run in runs) == sorted(
        [lineage_of("1"), lineage_of("2"), "bare"]
    )


def test_what_a_bare_client_left_half_made_is_completed(tmp_path: Path) -> None:
    path = database(tmp_path)
    path.touch()
    os.utime(path, (0, 0))
    create_database(tmp_path)
    begin(tmp_path)
    assert count(synchronize(tmp_path), "created") == 1


@pytest.mark.prove
def test_a_rebuild_refuses_to_lose_runs_that_are_not_its_own(root: Path) -> None:
    trained(root)
    synchronize(root)
    answer(root, "import mlflow; mlflow.set_experiment('mine'); mlflow.start_run()")
    with pytest.raises(AssayError, match=r"runs in mine.*mv mlflow\.db"):
        rebuild(root, then=nothing)
    database(root).rename(root / "mlflow.db.old")
    for suffix in ("-wal", "-shm"):
        Path(f"{database(root)}{suffix}").unlink(missing_ok=True)
    assert count(rebuild(root, then=nothing), "created") == 1


@pytest.mark.prove
def test_a_deleted_experiment_is_reported_with_what_helps(root: Path) -> None:
    trained(root)
    synchronize(root)
    client = connect(root).client
    client.delete_experiment("1")
    with pytest.raises(AssayError, match=r"shapes was deleted .* restore --experiment-id 1, .*--rebuild"):
        track(root)
    command = [sys.executable, "-m", "mlflow", "experiments", "restore", "--experiment-id", "1"]
    subprocess.run(command, cwd=root, env=QUIET, check=True, capture_output=True)
    assert count(track(root)[0], "unchanged") == 1
    client.delete_experiment("1")
    assert count(track(root, rebuild=True)[0], "created") == 1


@pytest.mark.prove
def test_a_database_of_an_older_mlflow_is_built_again(root: Path) -> None:
    finish(begin(root))
    with closing(sqlite3.connect(database(root))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'bd07f7e963c5'")
    command = [sys.executable, "-m", "src.track"]
    environment = {**QUIET, "DVC_ROOT": str(root), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "mlflow.db cannot be used" in done.stderr and "src.track --rebuild" in done.stderr
    done = subprocess.run(
        [*command, "--rebuild"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 created" in done.stdout


def test_a_server_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    message = str(unreachable(ConnectionError("refused")))
    assert "MLflow at http://127.0.0.1:9 failed: refused" in message
    assert "unset MLFLOW_TRACKING_URI" in message
