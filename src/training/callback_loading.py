"""``train.callbacks``: from class paths in the configuration to Lightning callbacks."""

import difflib
import inspect
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytorch_lightning as pl
from packaging.utils import canonicalize_name

from src.config.schema.train import CallbackConfig
from src.core.errors import AssayError
from src.training import callbacks

LOCK = Path(__file__).parents[2] / "requirements.lock"


def load_callbacks(configs: Sequence[CallbackConfig], lock: Path = LOCK) -> list[pl.Callback]:
    """One callback for each entry. ``lock`` lists the packages whose classes may be used.

    Raises:
        AssayError: a class does not exist, is not a Lightning callback, does not take its ``init_args``, or
            its code is neither in ``src.training.callbacks`` nor in a locked package.
    """
    return [_load(f"train.callbacks[{number}]", config, lock) for number, config in enumerate(configs)]


def _load(key: str, config: CallbackConfig, lock: Path) -> pl.Callback:
    place = f"{key}.class_path={config.class_path}"
    module, _, name = config.class_path.rpartition(".")
    _refuse_untracked(place, module, name, lock)
    found = _find_class(place, module, name)
    try:
        return found(**config.init_args)
    except Exception as error:  # a callback may raise anything, such as Lightning's own exceptions
        raise AssayError(
            f"{key}.init_args do not fit {found.__name__}{inspect.signature(found)}: {error}"
        ) from error


def _refuse_untracked(place: str, module: str, name: str, lock: Path) -> None:
    """DVC knows of the code in our package and of the versions in the lock, and of nothing else."""
    package = module.partition(".")[0]
    if module == callbacks.__name__:
        return
    if package == "src":
        raise AssayError(
            f"{place}: import the class in src/training/callbacks/__init__.py, so that DVC trains again when "
            f"it changes, and set class_path to {callbacks.__name__}.{name}"
        )
    if package in sys.stdlib_module_names:
        raise AssayError(f"{place} belongs to Python, which has no Lightning callback: name another class")
    distributions = {canonicalize_name(each) for each in packages_distributions().get(package, [])}
    if not distributions & _locked_packages(lock):
        raise AssayError(
            f"{place}: the package {package} is not in {lock.name}. Add it to pyproject.toml and run "
            "`make lock`, or put the class into src/training/callbacks/"
        )


def _locked_packages(lock: Path) -> set[str]:
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []
    return {canonicalize_name(line.partition("==")[0].strip()) for line in lines if "==" in line}


def _find_class(place: str, module: str, name: str) -> type[pl.Callback]:
    try:
        members = dict(vars(import_module(module)))
    except ImportError as error:
        raise AssayError(f"{place}: the module {module} cannot be imported ({error})") from error
    known: dict[str, type[pl.Callback]] = {
        key: value for key, value in members.items() if _is_callback(value)
    }
    if name in known:
        return known[name]
    if name in members:
        raise AssayError(f"{place} is not a subclass of pytorch_lightning.Callback")
    close = difflib.get_close_matches(name, known) or sorted(known)
    raise AssayError(f"{place}: {module} has no class {name}; it has {', '.join(close) or 'no callback'}")


def _is_callback(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, pl.Callback)
