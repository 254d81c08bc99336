"""From a folder of images to settings that suit them: what they are, what to try, what to write down."""

from src.core import torchvision_compat

torchvision_compat.install()  # before anything here imports torchvision
