"""Asks the libraries themselves whether they are held to AVX2."""

from functools import cache

import scipy.linalg  # noqa: F401  # loads its BLAS
import torch
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]
from threadpoolctl import threadpool_info

from src.core.errors import AssayError
from src.core.portable import NUMPY_FEATURES


@cache
def check_held() -> None:
    """Ask torch, NumPy and the BLAS of NumPy and SciPy; what they say never changes in a process.

    Raises:
        AssayError: The CPU has no AVX2, or a library does not comply.
    """
    faults = [*_torch_faults(), *_numpy_faults(), *_blas_faults()]
    if faults:
        raise AssayError(f"train.precision=portable cannot be kept here: {'; '.join(faults)}")


def _torch_faults() -> list[str]:
    found = torch.backends.cpu.get_cpu_capability()
    if found == "DEFAULT" or not (torch.cpu._is_avx2_supported() or found == "AVX2"):
        return [f"this CPU has no AVX2 (torch uses {found}): set train.precision=auto"]
    return [] if found == "AVX2" else [f"torch uses {found} instead of AVX2"]


def _numpy_faults() -> list[str]:
    above = [name for name in NUMPY_FEATURES if _multiarray_umath.__cpu_features__.get(name)]
    return [f"NumPy uses {', '.join(above)}"] if above else []


def _blas_faults() -> list[str]:
    used = {pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}
    return [f"OpenBLAS uses {name} instead of Haswell" for name in sorted(used - {"Haswell"})]
