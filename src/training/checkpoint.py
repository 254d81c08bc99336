"""The state of a training after its last finished epoch, in one file that is whole at any moment."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from src.core.errors import AssayError
from src.core.files import replaced
from src.training.classifier import KEY, Classifier
from src.training.early_stopping import Row

NAME = "last.ckpt"
Fingerprint = dict[str, Any]  # what the training was asked to do: plain values only


@dataclass(frozen=True)
class EarlierTraining:
    """What a checkpoint says of the epochs before it."""

    history: list[Row]
    hashes: list[str]  # of the weights after each epoch
    best: dict[str, torch.Tensor]  # weights of the best epoch
    finished: bool  # no epoch is left to train


class LastCheckpoint(Checkpoint):
    """Writes ``last.ckpt`` after every epoch, then hands the epoch's metrics to ``on_epoch``.

    Lightning runs a ``Checkpoint`` after all other hooks of the epoch.
    """

    def __init__(self, folder: Path, fingerprint: Fingerprint, on_epoch: Callable[[Row], None]) -> None:
        self.path = folder / NAME
        self.fingerprint = fingerprint
        self.on_epoch = on_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        with replaced(self.path) as fresh:
            trainer.save_checkpoint(fresh, weights_only=False)
            with fresh.open("rb") as written:
                os.fsync(written.fileno())
        self.on_epoch(pl_module.history[-1])

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        part = checkpoint.setdefault(KEY, {})
        part |= {"fingerprint": self.fingerprint, "finished": trainer.should_stop}


def read_checkpoint(folder: Path, fingerprint: Fingerprint) -> EarlierTraining | None:
    """What ``last.ckpt`` says, or None if it does not exist.

    Raises:
        AssayError: the file is damaged, or belongs to another training.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        _refuse_damaged(path)
        part: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)[KEY]
        found: Fingerprint = part["fingerprint"]
        earlier = EarlierTraining(part["history"], part["hashes"], part["best"], part["finished"])
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        UnpicklingError,
        BadZipFile,
    ) as error:
        first = (str(error).strip() or "it is empty").split(". ")[0].splitlines()[0]
        raise AssayError(
            f"{path} cannot be read ({type(error).__name__}: {first}): delete it to train from the start"
        ) from error
    _refuse_foreign(path, found, fingerprint)
    return earlier


def _refuse_damaged(path: Path) -> None:
    """torch writes checksums, but does not check them when it reads."""
    with ZipFile(path) as archive:
        broken = archive.testzip()
    if broken:
        raise BadZipFile(f"{broken} has another checksum")


def _refuse_foreign(path: Path, found: Fingerprint, fingerprint: Fingerprint) -> None:
    keys = found.keys() | fingerprint.keys()
    different = sorted(key for key in keys if found.get(key) != fingerprint.get(key))
    if different:
        raise AssayError(
            f"{path} belongs to another training, which differs in {', '.join(different)}: delete it to "
            "train from the start"
        )
