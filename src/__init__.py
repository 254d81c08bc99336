"""Assay: image-classification experiments that a team can audit."""

from src import torchvision_mend

torchvision_mend.install()
