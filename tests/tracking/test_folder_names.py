"""The repository may lie in any folder: MLflow's store is inside it, and nothing beside it."""

from pathlib import Path

import mlflow.artifacts
import pytest

from src.tracking.mlflow_store import connect
from src.tracking.sync import synchronize
from tests.support.journals import trained
from tests.tracking.test_bare_clients import answer
from tests.tracking.test_sync import CURVE, curve, runs

pytestmark = pytest.mark.prove

RUNS = "import mlflow; print(*mlflow.search_runs(experiment_names=['shapes'])['tags.stage'])"
# percent signs, quotes and a hash, a question mark, a backslash and a line break, not ASCII, 350 characters
NAMES = [
    "100%20 %",
    'it\'s "no" #1',
    "what?",
    "back\\slash\nline",
    "ümläut 日本",
    "d" * 150 + "/" + "e" * 200,
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_the_view_is_made_and_read_in_a_folder_with_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / name
    root.mkdir(parents=True)
    trained(root)
    synchronize(root)
    (run,) = runs(root)
    assert curve(root, run) == CURVE
    artifact = root / "note.txt"
    artifact.write_text("hello")
    store = connect(root)
    store.client.log_artifact(run.info.run_id, str(artifact))
    (kept,) = (root / "mlruns").rglob("note.txt")
    uri = f"{run.info.artifact_uri}/note.txt"
    assert Path(mlflow.artifacts.download_artifacts(uri)).read_text() == "hello" == kept.read_text()
    assert [path.name for path in tmp_path.iterdir()] == [name.partition("/")[0]], "nothing beside it"
    assert answer(root, RUNS).split() == ["train"]
