"""What a speed was measured on."""

import platform
from pathlib import Path

from src.core.cpus import available_cpus

# Instructions that decide how fast int8 and bf16 are, as Linux spells them.
TELLING = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
)


def describe_machine() -> dict[str, str | int]:
    """Processor, its instructions, cores for this process, and the versions of what computes."""
    import onnxruntime
    import torch

    facts = _cpu_facts()
    flags = facts.get("flags", facts.get("Features", "")).split()
    return {
        "cpu": facts.get("model name") or platform.processor() or platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "instructions": " ".join(name for name in TELLING if name in flags),
        "cores": available_cpus(),
        "system": platform.system(),
        "onnxruntime": str(onnxruntime.__version__),
        "torch": str(torch.__version__),
    }


def busy_elsewhere(seconds: float = 1.0) -> float:
    """Percent of the processor that others use while this process waits."""
    import psutil

    return float(psutil.cpu_percent(interval=seconds))


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first core; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
