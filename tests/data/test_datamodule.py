"""Batches of stored images."""

import numpy as np
import pytest
import torch

from src.data.loading.datamodule import BalancedBatches, DataModule, ShuffledBatches


def order(batches: ShuffledBatches, epoch: int) -> list[list[int]]:
    batches.set_epoch(epoch)
    return [batch.tolist() for batch in batches]


def test_shuffle_depends_on_seed_and_epoch_only():
    rows = np.arange(100, 200)
    first, second = ShuffledBatches(rows, 10, seed=3), ShuffledBatches(rows, 10, seed=3)
    order(first, 0)
    assert order(first, 5) == order(second, 5)
    assert order(first, 5) != order(first, 6)
    assert order(first, 5) != order(ShuffledBatches(rows, 10, seed=4), 5)


@pytest.mark.parametrize(("count", "size", "sizes"), [(25, 10, [10, 10]), (20, 10, [10, 10]), (7, 10, [7])])
def test_incomplete_batch_is_left_out_unless_it_is_the_only_one(count, size, sizes):
    batches = ShuffledBatches(np.arange(count), size, seed=0)
    found = order(batches, 0)
    assert [len(batch) for batch in found] == sizes
    assert len(batches) == len(sizes)
    flat = [row for batch in found for row in batch]
    assert len(set(flat)) == len(flat)


def test_every_row_is_met_over_the_epochs():
    batches = ShuffledBatches(np.arange(25), 10, seed=0)
    met = {row for epoch in range(20) for batch in order(batches, epoch) for row in batch}
    assert met == set(range(25))


def test_batches_come_from_the_file_as_they_are(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 5), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    targets = np.arange(50)
    train, val = np.arange(0, 40), np.array([49, 41, 45, 40, 44])
    data = DataModule(mapped, targets, train, val, batch_size=3, seed=0)
    for pixels, labels in data.train_dataloader():
        assert pixels.dtype == torch.uint8 and labels.dtype == torch.int64
        assert pixels.shape == (3, 3, 4, 5)
        np.testing.assert_array_equal(pixels.numpy(), images[labels.numpy()])
        assert set(labels.tolist()) <= set(range(40))
    labels = [labels.tolist() for _, labels in data.val_dataloader()]
    assert labels == [[40, 41, 44], [45, 49]]


def balanced(counts: list[int], size: int = 10, seed: int = 0) -> tuple[BalancedBatches, np.ndarray]:
    """Rows 100, 101, … of classes with these counts, and the class of each."""
    targets = np.repeat(np.arange(len(counts)), counts)
    return BalancedBatches(np.arange(len(targets)) + 100, targets, size, seed), targets


def test_balanced_batches_have_as_many_of_each_class():
    batches, targets = balanced([200, 40, 4])
    for epoch in range(3):
        drawn = np.concatenate([targets[np.array(batch) - 100] for batch in order(batches, epoch)])
        assert len(drawn) == 240
        assert np.bincount(drawn).tolist() == pytest.approx([80] * 3, abs=5)  # the last batch is left out


def test_balanced_batches_use_every_row_before_one_comes_again():
    batches, targets = balanced([50, 10], size=5)
    met = [np.bincount(np.concatenate(order(batches, epoch)) - 100, minlength=60) for epoch in range(40)]
    assert all(set(counts[targets == 1]) <= {2, 3, 4} for counts in met)  # 25 to 30 draws of 10 rows
    assert all(counts[targets == 0].max() == 1 for counts in met)
    assert (np.sum(met, axis=0) > 0).all()


def test_balanced_order_depends_on_seed_and_epoch_only():
    first, second = balanced([60, 9])[0], balanced([60, 9])[0]
    order(first, 0)
    assert order(first, 5) == order(second, 5)
    assert order(first, 5) != order(first, 6)
    assert order(first, 5) != order(balanced([60, 9], seed=4)[0], 5)
