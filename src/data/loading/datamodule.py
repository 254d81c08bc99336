"""Batches as slices of a memory-mapped array: no Python per image, and only the batch is copied."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from src.core.seeds import derive_seed

Batch = tuple[Tensor, Tensor]
Rows = npt.NDArray[np.int64]
Images = npt.NDArray[np.uint8] | npt.NDArray[np.float32]  # pixels, or features of a frozen backbone


class BatchSlices(Dataset[Batch]):
    """Indexed by an array of rows; gives images (B, C, H, W) and int64 targets (B,)."""

    def __init__(self, images: Images, targets: Rows) -> None:
        self.images = images
        self.targets = targets

    def __getitem__(self, rows: Rows) -> Batch:
        return torch.from_numpy(self.images[rows]), torch.from_numpy(self.targets[rows])


class ShuffledBatches(Sampler[Rows]):
    """Rows of each batch; their order depends on the seed and the epoch only.

    The last incomplete batch is dropped, unless it is the only one: its few images would weigh more than
    the others, and a single one breaks batch norm. The next epoch drops other images.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int) -> None:
        self.rows = np.asarray(rows, dtype=np.int64)
        self.batch_size = min(batch_size, len(rows))
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows) // self.batch_size

    def __iter__(self) -> Iterator[Rows]:
        order = self.order(np.random.default_rng(derive_seed(self.seed, "shuffle", self.epoch)))
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            # Ascending rows read the file forwards; the order within a batch does not matter.
            yield np.sort(order[start : start + self.batch_size])

    def order(self, random: np.random.Generator) -> Rows:
        """The rows of an epoch (n,)."""
        return random.permutation(self.rows)


class BalancedBatches(ShuffledBatches):
    """The same number of rows of each class, give or take one, and as many in all as without balancing.

    Each epoch leaves out a different part of a large class and repeats rows of a small one.

    Args:
        targets: class of each row, (n,).
    """

    def __init__(self, rows: Rows, targets: Rows, batch_size: int, seed: int) -> None:
        super().__init__(rows, batch_size, seed)
        self.classes = [self.rows[targets == target] for target in np.unique(targets)]

    def order(self, random: np.random.Generator) -> Rows:
        share, rest = divmod(len(self.rows), len(self.classes))
        more = random.permutation(len(self.classes)) < rest
        drawn = [
            np.resize(random.permutation(rows), share + one)
            for rows, one in zip(self.classes, more.tolist(), strict=True)
        ]
        return random.permutation(np.concatenate(drawn))


class OrderedBatches(Sampler[Rows]):
    """Rows of each batch in the given order; the last one may be smaller."""

    def __init__(self, rows: Rows, batch_size: int) -> None:
        self.rows = np.asarray(rows, dtype=np.int64)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def __iter__(self) -> Iterator[Rows]:
        for start in range(0, len(self.rows), self.batch_size):
            yield self.rows[start : start + self.batch_size]


class DataModule(pl.LightningDataModule):
    """Training batches in random order and validation batches in file order."""

    def __init__(
        self,
        images: Images,  # (N, C, H, W)
        targets: npt.NDArray[np.int64],  # (N,)
        train_rows: Rows,
        val_rows: Rows,
        batch_size: int,
        seed: int,
        balanced: bool = False,  # as many images of each class
    ) -> None:
        super().__init__()
        self.slices = BatchSlices(images, np.asarray(targets, dtype=np.int64))
        self.shuffled = (
            BalancedBatches(train_rows, self.slices.targets[train_rows], batch_size, seed)
            if balanced
            else ShuffledBatches(train_rows, batch_size, seed)
        )
        self.ordered = OrderedBatches(np.sort(val_rows), batch_size)

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self.shuffled)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self.ordered)

    def _loader(self, sampler: Sampler[Rows]) -> DataLoader[Batch]:
        # batch_size=None: the sampler yields the rows of whole batches.
        return DataLoader(self.slices, sampler=sampler, batch_size=None, collate_fn=_unchanged)


def _unchanged(batch: Any) -> Any:
    return batch
