"""The base weights behind a registered version, as a start for another training."""

import shutil
import tempfile
from pathlib import Path

from src.core.errors import AssayError, first_line
from src.core.files import replaced
from src.provenance.dvc_add import dvc_add
from src.provenance.dvc_remote import REPRO, pull_command
from src.registry.versions import VersionFacts, parse_name, read_version
from src.tracking.mlflow_store import connect

KEPT = "model"  # folder of a run's artifacts
WEIGHTS, SPEC = "model.safetensors", "model.json"


def fetch_base_weights(root: Path, uri: str, folder: Path) -> Path:
    """Copy the base's weights behind a version to ``folder``, its spec beside them, and add both to DVC.

    Compression changes weights and layers, so a training starts from the network before it.

    Args:
        uri: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

    Returns:
        NAME-VERSION.safetensors in ``folder``.

    Raises:
        AssayError: the version or its base does not exist, or MLflow does not answer.
    """
    version = _version(root, uri)
    path = folder / _file_name(version)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        found = _download(root, version, Path(place))
        for source, target in ((found / WEIGHTS, path), (found / SPEC, path.with_suffix(".json"))):
            with replaced(target) as beside:
                shutil.copyfile(source, beside)
            dvc_add(target)
    return path


def base_weights_name(root: Path, uri: str) -> str:
    """The name of the file that :func:`fetch_base_weights` would write; raises what it does."""
    return _file_name(_version(root, uri))


def _version(root: Path, uri: str) -> VersionFacts:
    return read_version(connect(root, patient=True), *parse_name(uri))


def _file_name(version: VersionFacts) -> str:
    return f"{version.name}-{version.version}.safetensors"


def _download(root: Path, version: VersionFacts, place: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    run = version.base.id if version.base is not None else None
    try:
        if run is not None:
            return Path(download_artifacts(run_id=run, artifact_path=KEPT, dst_path=str(place)))
    except Exception as error:  # MLflow raises its own errors, those of requests and of the file system
        raise AssayError(
            f"the weights behind {version.title} could not be downloaded: {first_line(error)}. Bring them: "
            f"{pull_command(root, 'models/base') or f'{REPRO} train'}; then python -m src.track"
        ) from error
    raise AssayError(f"MLflow has no run of the base of {version.title}: python -m src.track brings it back")
