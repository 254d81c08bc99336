"""The machine that a speed was measured on."""

import platform
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

from src.core.cpus import available_cpus

# Instruction sets that decide how fast int8 and bf16 are, as Linux spells them.
INSTRUCTIONS = (
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
    """Processor, its instruction sets, the cores of this process, and the versions of the engines."""
    facts = _cpu_facts()
    flags = facts.get("flags", facts.get("Features", "")).split()
    return {
        "cpu": facts.get("model name") or platform.processor() or platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "instructions": " ".join(name for name in INSTRUCTIONS if name in flags),
        "cores": available_cpus(),
        "system": platform.system(),
        "onnxruntime": version("onnxruntime"),
        "torch": str(torch.__version__),
    }


def busy_elsewhere(seconds: float = 1.0) -> float:
    """Percent of the processor that other processes use while this one waits."""
    return float(psutil.cpu_percent(interval=seconds))


def _cpu_facts() -> dict[str, str]:
    """What Linux reports of the first core; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
