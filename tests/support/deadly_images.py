"""Images whose reading may be the end of the process that reads them."""

import os
import signal

import numpy as np


class Deadly(np.ndarray):
    """Images of which the Nth batch read is the process's last."""

    left = 0

    def __getitem__(self, rows):
        Deadly.left -= 1
        if Deadly.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.asarray(self)[rows]
