"""What a stage may read of the configuration: the keys that it declares in ``dvc.yaml``.

DVC reruns a stage when a declared key changes. A stage that read another key would keep an outdated result.
"""

from collections.abc import Collection
from typing import Any, TypeVar

from src.config.dotted_keys import is_under
from src.config.schema.base import Section

# Keys that change no result, so that no stage declares them: how the work is done, not what comes out.
# The pipeline refuses the three of sweep that could (src/sweep.py).
NO_RESULT = (
    "machine",
    "cross_validate.n_jobs",
    "sweep.n_jobs",
    "sweep.asynchronous",
    "sweep.storage",
    "sweep.study",
    "debug",  # of ad-hoc runs alone
)

AnySection = TypeVar("AnySection", bound=Section)


def restrict(section: AnySection, declared: Collection[str], key: str = "") -> AnySection:
    """A copy with the declared fields only; reading any other raises an AssayError that names it.

    Args:
        section: A configuration, or a section of one.
        declared: Dotted keys from the root, such as ``train`` and ``evaluate.confidence``.
        key: Dotted key of ``section``; "" for a whole configuration.
    """
    view = section.model_copy()
    view._key = key
    for name, field in type(section).model_fields.items():
        below = f"{key}.{field.alias or name}".lstrip(".")
        if is_under(below, declared):
            continue
        if any(is_under(each, [below]) for each in declared):
            view.__dict__[name] = _part(getattr(section, name), declared, below)
        else:
            del view.__dict__[name]
    return view


def _part(value: Any, declared: Collection[str], key: str) -> Any:
    """A section or mapping of which some keys are declared."""
    if isinstance(value, Section):
        return restrict(value, declared, key)
    return {name: each for name, each in value.items() if is_under(f"{key}.{name}", declared)}
