"""What this machine offers a training."""

from dataclasses import dataclass

import torch

from src.core.cpus import available_cpus, available_memory

GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """Cores and bytes that this process may use; ``gpu`` is its name, None without one."""

    cores: int
    memory: int
    gpu: str | None

    def __str__(self) -> str:
        cores = f"{self.cores} core{'s' * (self.cores > 1)}"
        return f"{cores}, {self.memory / GIB:.0f} GiB of memory, {self.gpu or 'no GPU'}"


def look_at_machine() -> Machine:
    """This one, as its container limits it."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return Machine(available_cpus(), available_memory(), gpu)
