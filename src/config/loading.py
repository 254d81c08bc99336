"""Reads the configuration: the only reader of ``params.yaml``, the only importer of hydra.

``conf/`` is the library of choices, ``params.yaml`` its committed composition and all that a stage
reads. Overrides on the command line compose anew from ``conf/``, for a run by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.config.schema import Config
from src.config.validation import validate_config
from src.core.errors import AssayError

PARAMS = Path("params.yaml")
CONF = Path("conf")


@dataclass(frozen=True)
class LoadedConfig:
    """A checked configuration and the plain values it was made from."""

    config: Config
    values: dict[str, Any]
    overrides: tuple[str, ...] = ()

    @property
    def is_ad_hoc(self) -> bool:
        """Composed from ``conf/``, and not ``params.yaml``."""
        return bool(self.overrides)


def load(overrides: Sequence[str] = ()) -> LoadedConfig:
    """``params.yaml`` if there are no overrides, otherwise ``conf/`` with them.

    Raises:
        AssayError: a file is missing or unreadable, or values are not allowed (all are listed).
    """
    if overrides:
        values = compose(overrides)
        return LoadedConfig(
            validate_config(values, f"conf/ with {' '.join(overrides)}"), values, tuple(overrides)
        )
    values = read_params()
    return LoadedConfig(validate_config(values, str(PARAMS)), values)


def read_params() -> dict[str, Any]:
    """The mapping in ``params.yaml``, unchecked."""
    from omegaconf import OmegaConf
    from yaml import YAMLError

    if not PARAMS.is_file():
        raise AssayError(f"{PARAMS} is missing here ({Path.cwd().name}/). Make it: python -m src.compose")
    try:
        values = OmegaConf.to_container(OmegaConf.load(PARAMS))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise AssayError(f"{PARAMS} cannot be read: {error}\nMake it anew: python -m src.compose") from error
    if not isinstance(values, dict) or not values:
        raise AssayError(f"{PARAMS} holds no settings. Make it anew: python -m src.compose")
    return {str(key): value for key, value in values.items()}


def compose(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What ``conf/`` and the overrides say, resolved, as DVC's own composition makes it."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(OmegaConf.create(compose_text(overrides)))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def compose_text(overrides: Sequence[str] = ()) -> str:
    """The text of ``params.yaml`` for ``conf/`` and the overrides, equal to that of ``dvc exp run``."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not (CONF / "config.yaml").is_file():
        raise AssayError("conf/config.yaml is missing: run this in the root of the repository")
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base=None):
            composed = hydra_compose("config", list(overrides))
        OmegaConf.resolve(composed)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:  # YAMLError: a key twice, say
        raise AssayError(f"conf/ with {' '.join(overrides) or 'no overrides'}: {_reason(error)}") from error
    return OmegaConf.to_yaml(composed)


def _reason(error: Exception) -> str:
    """Hydra's message, and where it has one, the message below it that names the key."""
    text, cause = str(error).partition("\nConfig search path")[0], str(error.__cause__ or "")
    return text if cause in text else f"{text}\n{cause}"
