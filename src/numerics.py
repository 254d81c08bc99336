"""Check whether this machine computes the same bytes as others, with train.precision=portable.

    python -m src.numerics            compare with the recorded hashes
    python -m src.numerics --record   record them again, after a change of packages or probes

Computes small samples of everything that the pipeline computes, and the first steps of a training, held to
AVX2 and one thread like a portable stage. Takes a few seconds. The exit code is 1 if any sample differs. Run
it on two machines before a week of training: if both agree with the record, they agree with each other.
"""

import argparse
import json
import platform
import sys
from importlib import metadata
from pathlib import Path

from src.core.errors import ends_with_message
from src.core.files import write_json
from src.core.portable import hold_to_avx2

RECORDED = Path(__file__).parent / "auditing" / "probes.json"
PACKAGES = ("numpy", "onnxruntime", "pillow", "scikit-learn", "scipy", "torch")
OTHER_CPU = """\
This is {machine}. Its vector units and its library kernels sum in a different order than AVX2: expect
metrics that agree within their intervals, not equal bytes. Two machines of this kind with the same packages
and number of threads usually agree with each other: compare what this command prints on each of them."""
GPU = """\
GPUs: a portable stage does not use one. With train.precision=auto two GPUs of the same model, with the same
driver and packages, give the same bytes. GPUs of different models, or a GPU and a CPU, agree only in metrics
within their intervals, because the order of sums depends on the number of processors."""


def main() -> int:
    """Compute all probes and compare them; returns the exit code."""
    parser = argparse.ArgumentParser("python -m src.numerics", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--record", action="store_true", help=f"write {RECORDED.name} instead of comparing")
    record = parser.parse_args().record
    hold_to_avx2()
    if platform.machine() not in ("x86_64", "AMD64"):
        print(OTHER_CPU.format(machine=platform.machine()))
        return 1
    with ends_with_message("numerics"):
        found = _compute()
    print(GPU)
    return _record(found) if record else _compare(found)


def _compute() -> dict[str, str]:
    from src.auditing.probes import hashes
    from src.models.held_libraries import check_held

    check_held()
    return dict(hashes())


def _record(found: dict[str, str]) -> int:
    write_json(RECORDED, {"packages": _versions(), "hashes": found})
    print(f"Recorded {len(found)} probes in {RECORDED.name}")
    return 0


def _compare(found: dict[str, str]) -> int:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    versions = _versions()
    for name, version in recorded["packages"].items():
        if versions[name] != version:
            print(f"note: {name} is {versions[name]} here and {version} in the record")
    hashes: dict[str, str] = recorded["hashes"]
    different = [name for name, value in hashes.items() if found.get(name) != value]
    print(f"{len(hashes) - len(different)} of {len(hashes)} probes have the recorded bytes")
    for name in different:
        print(f"  differs: {name}")
    if different:
        print(
            "Results of this machine can differ from those of others in the last bits: see docs/portable.md"
        )
    return 1 if different else 0


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in PACKAGES}


if __name__ == "__main__":
    sys.exit(main())
