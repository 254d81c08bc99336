"""Batches for training: slices, augmentation."""
