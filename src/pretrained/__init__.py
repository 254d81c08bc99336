"""Weights that a training starts from: finding, fetching and loading them."""

from src.core import torchvision_compat

torchvision_compat.install()  # before anything here imports timm, and timm torchvision
