"""What a model is worth: metrics, their uncertainty, what is fitted to validation images, reports."""

from src.core import torchvision_compat

torchvision_compat.install()  # before anything here imports torchvision
