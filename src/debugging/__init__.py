"""``debug=…``: ad-hoc trainings that look for a fault instead of training a model to keep."""

from src.core import torchvision_compat

torchvision_compat.install()  # before anything here imports torchvision
