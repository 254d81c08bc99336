"""Training a network."""

from src.core import torchvision_compat

torchvision_compat.install()  # before anything here imports torchvision
