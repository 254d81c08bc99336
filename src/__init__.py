"""Assay: image-classification experiments that a team can audit."""

from src.core import torchvision_compat

torchvision_compat.install()
