"""Assay: image-classification experiments that a team can audit."""

import sys

from src.core import torchvision_compat

torchvision_compat.install()  # every process of ours passes here before it imports torchvision

if sys.argv[:1] == ["-m"]:  # `python -m src.NAME`, which has imported nothing yet
    import signal

    from src.core.interruption import end_at_once

    signal.signal(signal.SIGINT, end_at_once)
