"""One instruction set and one thread for every CPU: what ``train.precision: portable`` rests on.

NumPy, torch and the libraries below them choose their kernels by the CPU, and kernels differ in the last
bits. Environment variables hold all of them to AVX2, which every x86-64 server of the last ten years has.
Each is read once, when its library is first used, and ignored after that. Processes that a stage starts
inherit them.
"""

import os
import sys

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
