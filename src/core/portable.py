"""One instruction set and one thread for every CPU: what ``train.precision: portable`` rests on.

NumPy, torch and the libraries below them choose their kernels by the CPU, and kernels differ in the last
bits. Environment variables hold all of them to AVX2, which every x86-64 server of the last ten years has.
Each is read once, when its library is first used, and ignored after that. Processes that a stage starts
inherit them.
"""

import os
import sys
from functools import cache

from src.core.errors import AssayError

NUMPY_FEATURES = ("X86_V4", "AVX512_ICL", "AVX512_SPR")  # what NumPy has kernels for above AVX2
HELD = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions
    "MKL_CBWR": "COMPATIBLE",  # torch's matrix products; on other makers' CPUs MKL has no level between
    "NPY_DISABLE_CPU_FEATURES": " ".join(NUMPY_FEATURES),
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products of NumPy and SciPy
    # Sums depend on how many threads share them.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",  # no GPU agrees with a CPU
}


def hold_to_avx2(late: bool = False) -> None:
    """Set the variables for this process and those that it starts.

    Args:
        late: Only the processes that it starts matter.

    Raises:
        RuntimeError: It is too late for this process: NumPy or torch is imported already.
    """
    loaded = [name for name in ("numpy", "torch") if name in sys.modules]
    if loaded and not late and not is_held():
        raise RuntimeError(f"{loaded[0]} is imported already: import it where it is used, not above")
    os.environ.update(HELD)


def is_held() -> bool:
    """Whether the variables are set."""
    return all(os.environ.get(name) == value for name, value in HELD.items())


@cache
def check_held() -> None:
    """Ask the libraries whether they are held; imports NumPy, SciPy's BLAS and torch.

    Raises:
        AssayError: The CPU has no AVX2, or a library does not comply.
    """
    faults = [*_torch_faults(), *_numpy_faults(), *_blas_faults()]
    if faults:
        raise AssayError(f"train.precision=portable cannot be kept here: {'; '.join(faults)}")


def _torch_faults() -> list[str]:
    import torch

    found = torch.backends.cpu.get_cpu_capability()
    if found == "DEFAULT" or not (torch.cpu._is_avx2_supported() or found == "AVX2"):
        return [f"this CPU has no AVX2 (torch uses {found}), so set train.precision=auto"]
    return [] if found == "AVX2" else [f"torch uses {found} instead of AVX2"]


def _numpy_faults() -> list[str]:
    from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

    above = [name for name in NUMPY_FEATURES if _multiarray_umath.__cpu_features__.get(name)]
    return [f"NumPy uses {', '.join(above)}"] if above else []


def _blas_faults() -> list[str]:
    import scipy.linalg  # noqa: F401  # loads its BLAS
    from threadpoolctl import threadpool_info

    used = {pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}
    return [f"OpenBLAS uses {name} instead of Haswell" for name in sorted(used - {"Haswell"})]
