"""What this machine offers a training."""

from dataclasses import dataclass

import psutil
import torch

from src.core.cpus import available_cpus, available_memory
from src.core.wording import counted

GIB = 2**30
BUSY = 1.2  # programs for each core


@dataclass(frozen=True)
class Machine:
    """Cores and bytes that this process may use; ``gpu`` is its name, None without one."""

    cores: int
    memory: int
    gpu: str | None
    load: float  # programs that compute, on average of the last minute

    def describe(self) -> list[str]:
        """A sentence or two."""
        sentences = [
            f"{counted(self.cores, 'core')}, {self.memory / GIB:.0f} GiB of memory, {self.gpu or 'no GPU'}."
        ]
        if self.load > BUSY * self.cores:
            sentences.append(
                f"Other programs keep it busy (a load of {self.load:.0f}); the times below are those "
                "of a machine with nothing else to do."
            )
        return sentences


def look_at_machine() -> Machine:
    """This one, as its container limits it."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return Machine(available_cpus(), available_memory(), gpu, psutil.getloadavg()[0])
