"""Reads the configuration: the only reader of ``params.yaml``, and with ``overrides`` the only user of hydra.

``conf/`` is the library of choices, ``params.yaml`` its committed composition and all that a stage
reads. Overrides on the command line compose from ``conf/`` again, for an ad-hoc run.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.config.fields import known_keys
from src.config.packages import missing_packages
from src.config.schema import Config
from src.config.validation import validate_config
from src.config.view import NO_RESULT, restrict
from src.core.errors import AssayError
from src.core.yaml12 import load_yaml

PARAMS = Path("params.yaml")
CONF = Path("conf")
COMPOSE = "python -m src.compose"


@dataclass(frozen=True)
class LoadedConfig:
    """A checked configuration and the plain values it was made from.

    Attributes:
        config: What a stage reads; only the ``declared`` keys, if there are any.
        values: The whole configuration as plain values.
        overrides: Those of the command line.
        declared: The keys that the stage declares in dvc.yaml; empty outside a stage.
    """

    config: Config
    values: dict[str, Any]
    overrides: tuple[str, ...] = ()
    declared: frozenset[str] = frozenset()

    @property
    def is_ad_hoc(self) -> bool:
        """Composed from ``conf/``, and not ``params.yaml``."""
        return bool(self.overrides)

    def check(self, values: Mapping[str, Any], origin: str) -> Config:
        """The configuration with other ``values``, of which the same keys can be read.

        Raises:
            AssayError: Values are not allowed; all are listed after ``origin``.
        """
        config = validate_config(values, origin)
        return restrict(config, self.declared | set(NO_RESULT)) if self.declared else config

    def unrestricted(self) -> Config:
        """The whole configuration, also in a stage. Nothing that is read from it may reach the result."""
        return validate_config(self.values, str(PARAMS))

    def with_values(self, values: dict[str, Any], origin: str) -> "LoadedConfig":
        """The same with other values, checked like these."""
        return replace(self, config=self.check(values, origin), values=values)

    def view(self, declared: Collection[str]) -> "LoadedConfig":
        """The same, of which a stage can read only what it declares (and what changes no result)."""
        keys = frozenset(declared)
        return replace(self, config=restrict(self.config, keys | set(NO_RESULT)), declared=keys)


def load(overrides: Sequence[str] = ()) -> LoadedConfig:
    """``params.yaml`` if there are no overrides, otherwise ``conf/`` with them.

    Raises:
        AssayError: A file is missing or unreadable, or values are not allowed (all are listed).
    """
    if overrides:
        return load_conf(overrides)
    values = read_params()
    config = validate_config(values, str(PARAMS))
    refuse_debug(config, str(PARAMS))
    return LoadedConfig(config, values)


def load_conf(overrides: Sequence[str] = ()) -> LoadedConfig:
    """``conf/`` with the overrides.

    Raises:
        AssayError: An override or a value is not allowed (all are listed).
    """
    from src.config.overrides import repeated

    faults = repeated(overrides)
    if faults:
        raise AssayError(_listed(faults))
    values = compose(overrides)
    config = validate_config(values, f"conf/ with {_shown(overrides)}")
    missing = list(missing_packages(config))
    if missing:
        raise AssayError(_listed(missing))
    return LoadedConfig(config, values, tuple(overrides))


def refuse_debug(config: Config, place: str) -> None:
    """Raise ``AssayError`` if the configuration has a section ``debug``; ``place`` must not have it."""
    if config.debug is not None:
        raise AssayError(
            f"{place} cannot have debug={config.debug.kind}, which is for ad-hoc runs: python -m src.train "
            f"debug={config.debug.kind}. If {PARAMS} has it, write it again: {COMPOSE}"
        )


def read_params() -> dict[str, Any]:
    """The content of ``params.yaml``, unchecked, as DVC reads it too."""
    from yaml import YAMLError

    if not PARAMS.is_file():
        raise AssayError(f"{PARAMS} is missing here ({Path.cwd().name}/). Make it: {COMPOSE}")
    try:
        values = load_yaml(PARAMS.read_text(encoding="utf-8"))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise AssayError(f"{PARAMS} cannot be read: {error}\nWrite it again: {COMPOSE}") from error
    if not isinstance(values, dict) or not values:
        raise AssayError(f"{PARAMS} has no settings. Write it again: {COMPOSE}")
    return {str(key): value for key, value in values.items()}


def compose(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What ``conf/`` and the overrides say, resolved, as DVC's own composition makes it."""
    values = load_yaml(compose_text(overrides))
    return {str(key): value for key, value in values.items()}


def compose_text(overrides: Sequence[str] = ()) -> str:
    """The text of ``params.yaml`` for ``conf/`` and the overrides, equal to that of ``dvc exp run``."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not (CONF / "config.yaml").is_file():
        raise AssayError("conf/config.yaml is missing: run this in the root of the repository")
    try:
        return _composed(overrides)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError) as error:
        # YAMLError: a key twice in a file; ValueError and TypeError: Hydra's own, of train=3 and train=[3]
        raise AssayError(f"conf/ with {_shown(overrides)}:\n{_reason(error, overrides)}") from error


def _composed(overrides: Sequence[str]) -> str:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    from src.config.overrides import for_hydra, replaced

    # DVC has no such resolver, so `dvc exp run -S debug=…` fails before DVC removes the outputs of a stage
    OmegaConf.register_new_resolver("only_for_src_train", lambda kind: kind, replace=True)
    with initialize_config_dir(str(CONF.resolve()), version_base=None):
        composed = hydra_compose("config", for_hydra(overrides))
    OmegaConf.resolve(composed)
    OmegaConf.set_struct(composed, False)
    for section in {key.partition(".")[0] for key in replaced(overrides)}:  # Hydra puts them last
        fields = Config.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
        values = composed[section]
        composed[section] = {name: values[name] for name in fields if name in values}
    return OmegaConf.to_yaml(composed)


def _reason(error: Exception, overrides: Sequence[str]) -> str:
    """What is wrong with the overrides; otherwise Hydra's message, and its cause where that says more."""
    from src.config.overrides import explain, harmless, without_noise

    rest = harmless(overrides, CONF)
    if len(rest) < len(overrides):
        faults = explain(overrides, CONF, compose(rest), known_keys())
        if faults:
            return _listed(faults)
    text, cause = without_noise(str(error)), without_noise(str(error.__cause__ or ""))
    return text if cause in text else f"{text}\n{cause}"


def _listed(faults: Sequence[str]) -> str:
    return "\n".join(f"  {fault}" for fault in faults)


def _shown(overrides: Sequence[str]) -> str:
    return " ".join(overrides) or "no overrides"


def group_choices(group: str) -> list[str]:
    """What conf/ has for a group, such as cnn, lenet and timm for model."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
