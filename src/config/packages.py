"""Which packages a configuration needs beyond the locked ones, and whether they are installed."""

from collections.abc import Iterator
from importlib.util import find_spec

from src.config.schema import Config

LOGGERS = {"tensorboard": "tensorboard", "wandb": "wandb"}  # Lightning's loggers -> package


def missing_packages(config: Config) -> Iterator[str]:
    """A fault for each setting whose package is not installed. Imports none of them."""
    for name in config.machine.loggers:
        fault = logger_fault(name)
        if fault is not None:
            yield fault
    for number, callback in enumerate(config.train.callbacks):
        package = callback.class_path.partition(".")[0]
        if find_spec(package) is None:
            yield (
                f"train.callbacks[{number}].class_path={callback.class_path}: the package {package} is not "
                "installed. Add it to pyproject.toml and run `make lock`"
            )


def logger_fault(name: str) -> str | None:
    """Why a logger of ``machine.loggers`` cannot be used; None if it can."""
    package = LOGGERS.get(name)
    if package is None or find_spec(package) is not None:
        return None
    return (
        f"machine.loggers names {name}, but the package {package} is missing: run "
        f"`pip install {package} -c requirements.lock`, or remove {name} from machine.loggers"
    )
