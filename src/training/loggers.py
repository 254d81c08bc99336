"""``machine.loggers``: Lightning's own loggers. They change no result."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from src.config.packages import logger_fault
from src.core.errors import AssayError

LOGGERS: dict[str, Callable[[Path], Logger]] = {
    "csv": lambda folder: CSVLogger(folder, name="", version="csv"),
    "tensorboard": lambda folder: TensorBoardLogger(folder, name="", version="tensorboard"),
    "wandb": lambda folder: WandbLogger(project="assay", name=folder.name, save_dir=folder),
}


def create_loggers(names: Sequence[str], folder: Path) -> list[Logger]:
    """Loggers that write into ``folder``, by their names in ``machine.loggers``.

    Raises:
        AssayError: a logger needs a package that is not installed.
    """
    faults = [fault for name in names if (fault := logger_fault(name))]
    if faults:
        raise AssayError("\n".join(faults))
    folder.mkdir(parents=True, exist_ok=True)
    return [LOGGERS[name](folder) for name in names]
