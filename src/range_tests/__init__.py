"""Short trainings that measure what a setting should be: the learning rate, the size of a batch."""

from src.core import torchvision_compat

torchvision_compat.install()  # before anything here imports torchvision
