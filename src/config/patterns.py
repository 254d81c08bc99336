"""What the patterns of the schema ask for, in words."""

from src.config.schema.base import NAME
from src.config.schema.machine import DEVICE
from src.config.schema.sweep import BOUND, OBJECTIVES, STORAGE
from src.config.schema.train import CLASS_PATH

WORDS = {
    NAME: "letters, digits, `_`, `.` and `-`, beginning with a letter or a digit",
    DEVICE: "auto, cpu, cuda or cuda:N",
    STORAGE: "embedded, or the URL of a database such as postgresql://user@host/database",
    CLASS_PATH: "a module and a class, such as src.training.callbacks.GradientNorm",
    BOUND: f"METRIC <= NUMBER or METRIC >= NUMBER, where METRIC is one of {', '.join(OBJECTIVES)}",
}
