"""``machine.loggers``: Lightning's own loggers. They change no result."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from src.core.errors import AssayError

LOGGERS: dict[str, Callable[[Path], Logger]] = {
    "csv": lambda folder: CSVLogger(folder, name="", version="csv"),
    "tensorboard": lambda folder: TensorBoardLogger(folder, name="", version="tensorboard"),
    "wandb": lambda folder: WandbLogger(project="assay", name=folder.name, save_dir=folder),
}
PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}  # beyond requirements.lock


def create_loggers(names: Sequence[str], folder: Path) -> list[Logger]:
    """Loggers that write into ``folder``, by their names in ``machine.loggers``.

    Raises:
        AssayError: a logger needs a package that is not installed.
    """
    for name in names:
        package = PACKAGES.get(name)
        if package is not None and find_spec(package) is None:
            raise AssayError(
                f"machine.loggers names {name}, but the package {package} is missing: run "
                f"`pip install {package} -c requirements.lock`, or remove {name} from machine.loggers"
            )
    folder.mkdir(parents=True, exist_ok=True)
    return [LOGGERS[name](folder) for name in names]
