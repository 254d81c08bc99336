"""Temperature scaling: one number that calibrates probabilities.

Logits divided by a temperature keep their order, so no prediction changes. The temperature is the one with
the lowest log loss on images that the network was not trained on (Guo et al., "On Calibration of Modern
Neural Networks", ICML 2017).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

LOWEST, HIGHEST = 0.05, 20.0
DIGITS = 4  # significant: more would follow the noise of so few images, and the last bits of the machine


def fit_temperature(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """The temperature that fits ``logits`` (n, K) to ``targets`` (n,); above 1 for an overconfident network.

    One target in n + 2 counts as wrong (Platt, "Probabilistic Outputs for Support Vector Machines", 1999):
    else a network that is right about all n images would be made certain of everything.
    """
    wide, wanted = logits.astype(np.float64), _softened(targets, logits.shape[1])

    def log_loss(logarithm: float) -> float:
        return float(-(wanted * log_softmax(wide / np.exp(logarithm), axis=1)).sum(axis=1).mean())

    best = minimize_scalar(log_loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(f"{np.exp(best.x):.{DIGITS}g}")


def _softened(targets: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """One-hot targets (n, K) with a share of 1 / (n + 2) for the other classes together."""
    doubt = 1 / (len(targets) + 2)
    wanted = np.full((len(targets), classes), doubt / max(classes - 1, 1))
    wanted[np.arange(len(targets)), targets] = 1 - doubt
    return wanted
