"""Why an ad-hoc run does not fit the results that it reads, and what to type instead."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from src.config.dotted_keys import differing_keys, is_under
from src.core.errors import AssayError
from src.core.wording import listed
from src.provenance.lineage import LineageGraph

if TYPE_CHECKING:  # heavy, and not needed for --help
    from src.config.loading import LoadedConfig

SHOWN = 4  # keys in one line


def refuse_foreign_overrides(
    loaded: "LoadedConfig", graph: LineageGraph, address: str, parents: Collection[str]
) -> None:
    """An ad-hoc run reads what the pipeline made, so it cannot change how that was made.

    Args:
        loaded: conf/ with the overrides.
        graph: has the content of params.yaml, which the pipeline's results were made with.
        address: of the stage that is to run.
        parents: the stages whose results it reads.

    Raises:
        AssayError: An override is for an earlier stage, or params.yaml is not what conf/ composes to.
    """
    from src.config.loading import compose

    own = graph.stage(address).parameters
    upstream = {key for parent in parents for key in graph.stage(parent).parameters}

    def foreign(values: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
        found = [key for key in differing_keys(values, params) if is_under(key, upstream)]
        # an override replaces what the sweep found
        return [key for key in found if not is_under(key, [*own, "sweep"])]

    differing = foreign(loaded.values, graph.values)
    if not differing:
        return
    changed = set(differing_keys(loaded.values, compose()))
    asked = [key for key in differing if key in changed]
    if asked:
        typed = " ".join(f"-S {shlex.quote(override)}" for override in loaded.overrides)
        raise AssayError(
            f"{listed(asked, SHOWN)}: an earlier stage than {address} reads this, and its result was made "
            f"with params.yaml. Run the pipeline with it: dvc exp run {typed}"
        )
    fitting = [
        name
        for name in _experiments(loaded.overrides)
        if (composed := _composed([f"experiment={name}", *loaded.overrides])) is not None
        and not foreign(composed, graph.values)
    ]
    raise AssayError(f"{_not_the_default(address, differing)}\n{_advice(fitting)}")


def _composed(overrides: Sequence[str]) -> dict[str, Any] | None:
    """What conf/ and the overrides say; None if they do not go together."""
    from src.config.loading import compose

    try:
        return compose(overrides)
    except AssayError:
        return None


def _experiments(overrides: Sequence[str]) -> list[str]:
    """Those that could be added to the overrides."""
    from src.config.loading import group_choices

    chosen = any(override.lstrip("+~").startswith("experiment") for override in overrides)
    return [] if chosen else group_choices("experiment")


def _not_the_default(address: str, keys: Sequence[str]) -> str:
    return (
        "params.yaml is not what conf/ composes to by default, from which an ad-hoc run starts: they differ "
        f"in {listed(keys, SHOWN)}, which earlier stages than {address} read"
    )


def _advice(fitting: Sequence[str]) -> str:
    if fitting:
        return f"It fits experiment={fitting[0]}: add that to this command"
    return (
        "Add to this command what params.yaml was composed with, or make that the default of conf/: "
        "python -m src.compose --save NAME …"
    )
