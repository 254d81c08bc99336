"""Replaces settings of ``params.yaml`` by those that the stage ``sweep`` found."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.config.dotted_keys import differing_keys, flatten, is_under, lookup, set_dotted
from src.core.errors import AssayError

if TYPE_CHECKING:  # heavy, and not needed for --help
    from src.config.loading import LoadedConfig

BEST = Path("sweep/best.yaml")


def read_best_settings() -> dict[str, Any]:
    """{field: value}; empty where nothing was searched.

    Raises:
        AssayError: the file is missing or unreadable.
    """
    import yaml

    try:
        best = yaml.safe_load(BEST.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AssayError(f"{BEST} cannot be read ({error}). Make it again: dvc repro sweep") from error
    if not isinstance(best, dict):
        raise AssayError(f"{BEST} does not map fields to values. Make it again: dvc repro sweep")
    return best


def apply_best_settings(loaded: "LoadedConfig", params: Mapping[str, Any]) -> "LoadedConfig":
    """``loaded`` with the settings that the sweep found.

    In an ad-hoc run the command line wins: fields and groups that it names, and fields that differ from
    ``params``, keep their values. With sweep=none nothing is applied.
    """
    best = read_best_settings()
    if loaded.is_ad_hoc:
        best = {} if lookup(loaded.values, "sweep.method") == "none" else _untouched(best, loaded, params)
    values = set_dotted(loaded.values, best)
    return loaded.with_values(values, f"params.yaml with {BEST}")


def replacements(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """One text for each field that has another value now."""
    old, new = dict(flatten(before)), dict(flatten(after))
    for key in differing_keys(before, after):
        yield f"{key}={_short(new[key])} ({_short(old[key])} in params.yaml)"


def _untouched(best: Mapping[str, Any], loaded: "LoadedConfig", params: Mapping[str, Any]) -> dict[str, Any]:
    named = _named(loaded.overrides) | set(differing_keys(loaded.values, params))
    return {
        key: value
        for key, value in best.items()
        if not is_under(key, named) and not any(is_under(other, [key]) for other in named)
    }


def _named(overrides: Sequence[str]) -> set[str]:
    """Fields and groups on the command line; an experiment shows in what differs."""
    return {override.partition("=")[0].lstrip("+~") for override in overrides}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
