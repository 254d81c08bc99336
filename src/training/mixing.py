"""Mixup and CutMix: images of a batch mixed in pairs, and their targets in the same proportion.

A random partner for each image, as in both papers. timm pairs the first image with the last, torchvision
neighbours; but a batch here is in the order of the file, often by class, so these would mix the same classes.
"""

import math

import numpy as np
import torch
from torch import Tensor

from src.config.schema.train import Train
from src.training.losses import one_hot

Box = tuple[slice, slice]  # rows and columns


def mix(
    images: Tensor, targets: Tensor, classes: int, train: Train, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The batch mixed as ``train.mixup`` and ``train.cutmix`` say, one or the other if both are set.

    Args:
        images: (B, C, H, W).
        targets: (B,).
        classes: K.
        train: Has the alpha of each.
        random: Decides the share, the partners and the box.

    Returns:
        Images (B, C, H, W) and shares of the classes (B, K).
    """
    cut = bool(train.cutmix) and (not train.mixup or random.random() < 0.5)
    alpha = train.cutmix if cut else train.mixup
    share = float(random.beta(alpha, alpha))  # of the first image
    partner = torch.from_numpy(random.permutation(len(images))).to(images.device)
    if cut:
        mixed, share = paste(images, images[partner], share, random)
    else:
        mixed = images * share + images[partner] * (1 - share)
    truth = one_hot(targets, classes)
    return mixed, truth * share + truth[partner] * (1 - share)


def paste(images: Tensor, others: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, float]:
    """CutMix (Yun et al., 2019): a box of ``1 - share`` of the image from another one.

    Returns:
        The images, and the share of the first one's pixels that is left: the box may cross the border.
    """
    height, width = images.shape[-2:]
    rows, columns = _box(height, width, share, random)
    mixed = images.clone()
    mixed[..., rows, columns] = others[..., rows, columns]
    hidden = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - hidden / (height * width)


def _box(height: int, width: int, share: float, random: np.random.Generator) -> Box:
    """Of the image's aspect, with its centre anywhere."""
    sides = (int(side * math.sqrt(1 - share)) for side in (height, width))
    centres = (int(random.integers(side)) for side in (height, width))
    rows, columns = (
        slice(max(centre - side // 2, 0), min(centre + side // 2, whole))
        for centre, side, whole in zip(centres, sides, (height, width), strict=True)
    )
    return rows, columns
