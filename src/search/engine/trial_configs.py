"""The configurations that the proposals of a search stand for."""

import itertools
import json
from functools import lru_cache
from typing import Any

from src.config.dotted_keys import flatten, is_under, set_dotted
from src.config.loading import CONF, LoadedConfig, compose, group_choices
from src.config.schema import Config
from src.config.suggestions import did_you_mean
from src.core.errors import AssayError
from src.search.engine.distributions import Categorical, Distribution
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Settings
from src.search.engine.space import SearchSpace
from src.search.engine.space_syntax import parse_space

SECTIONS = ("model", "augment", "train")  # what a search may change: everything else was decided before it
MACHINE = ("train.threads",)  # sweep.threads decides


class TrialConfigs:
    """What a search can choose from, and the configuration of each choice."""

    def __init__(self, loaded: LoadedConfig) -> None:
        """
        Raises:
            AssayError: sweep.space, sweep.proxy or sweep.enqueue is not valid; all faults are named.
        """
        self.loaded = loaded
        sweep = loaded.config.sweep
        distributions = parse_space(sweep.space)
        groups = tuple(key for key in distributions if "." not in key and (CONF / key).is_dir())
        _refuse([*self._bad_groups(groups, distributions), *self._bad_proxy(distributions)])
        present = {
            names: frozenset(dict(flatten(self._composed(tuple(zip(groups, names, strict=True))))))
            for names in itertools.product(*(_values(distributions[group]) for group in groups))
        }
        fields = [key for key in distributions if key not in groups]
        _refuse(_bad_fields(fields, frozenset().union(*present.values())))
        self.space = SearchSpace(
            distributions, groups, {names: known & set(fields) for names, known in present.items()}
        )
        self.enqueued = self._enqueued()

    def config(self, settings: Settings) -> Config:
        """The configuration of a trial.

        Raises:
            AssayError: The settings contradict each other or the rest of the configuration.
        """
        sweep = self.loaded.config.sweep
        groups = tuple((group, settings[group]) for group in self.space.groups)
        fields = {key: value for key, value in settings.items() if key not in self.space.groups}
        values = set_dotted(self._composed(groups), {**sweep.proxy, **fields, "train.threads": sweep.threads})
        try:
            return self.loaded.check(values, "the trial")
        except AssayError as error:  # only the faults: they become the trial's reason, on one line
            faults = [line.strip() for line in str(error).splitlines() if line.startswith("  ")]
            raise AssayError("; ".join(faults)) from error

    def longest(self) -> int:
        """Epochs of the longest trial."""
        proxied = dict(flatten(set_dotted(self.loaded.values, self.loaded.config.sweep.proxy)))
        epochs = self.space.domains.get("train.epochs")
        if epochs is None:
            return int(proxied["train.epochs"])
        return int(max(epochs.values) if isinstance(epochs, Categorical) else epochs.high)

    def _composed(self, groups: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
        """Plain values with these choices of groups."""
        overrides = tuple(f"{group}={name}" for group, name in groups)
        return _compose((*self.loaded.overrides, *overrides)) if overrides else self.loaded.values

    def _bad_groups(self, groups: tuple[str, ...], distributions: dict[str, Distribution]) -> list[str]:
        if groups and not self.loaded.is_ad_hoc:
            return [
                f"{', '.join(groups)}: the pipeline reads only params.yaml and cannot choose whole groups. "
                "Search outside of it and adopt the result: python -m src.sweep sweep=… --adopt, then "
                "python -m src.compose experiment=NAME"
            ]
        return [
            f"{group}: must be choice(…) of {', '.join(group_choices(group))}, but got {name!r}"
            for group in groups
            for name in _values(distributions[group])
            if name not in group_choices(group)
        ]

    def _bad_proxy(self, distributions: dict[str, Distribution]) -> list[str]:
        proxy = self.loaded.config.sweep.proxy
        known = set(dict(flatten(self.loaded.values)))
        return [
            *(
                f"{key}: is also in sweep.proxy, which fixes it: remove it from one of them"
                for key in distributions
                if key in proxy
            ),
            *(
                f"{key} (in sweep.proxy): is not a known field{did_you_mean(key, known)}"
                for key in proxy
                if key not in known
            ),
        ]

    def _enqueued(self) -> tuple[Settings, ...]:
        """``sweep.enqueue`` with the values that the space has for them."""
        sweep = self.loaded.config.sweep
        faults, enqueued = [], []
        for index, wanted in enumerate(sweep.enqueue):
            settings = {}
            for field, value in wanted.items():
                try:
                    settings[field] = self._value(field, value)
                except AssayError as error:
                    faults.append(f"{index}: {field}: {error}")
            enqueued.append(settings)
        _refuse(faults, "sweep.enqueue")
        return tuple(enqueued)

    def _value(self, field: str, value: Any) -> Any:
        try:
            return self.space.value_in(field, value)
        except ValueError as error:
            text = self.loaded.config.sweep.space[field]
            raise AssayError(f"must be in {text} (sweep.space), but got {json.dumps(value)}") from error


def make_plan(candidates: TrialConfigs, seed: int) -> SearchPlan:
    """What is searched, and how."""
    config = candidates.loaded.config
    sweep = config.sweep
    return SearchPlan(
        name=f"{config.model.kind}-{sweep.method}-{config.seed}",
        method=sweep.method,
        space=candidates.space,
        trials=sweep.trials,
        batch=sweep.batch,
        pruner=sweep.pruner,
        objectives={str(metric): direction for metric, direction in sweep.objectives.items()},
        constraints=tuple(sweep.constraints),
        seed=seed,
        max_failures=sweep.max_failures,
        max_steps=sweep.folds or candidates.longest(),
        enqueue=candidates.enqueued,
    )


def _bad_fields(fields: list[str], known: frozenset[str]) -> list[str]:
    foreign = [
        f"{key}: a search can change {', '.join(SECTIONS)}; what other stages read is decided before it"
        for key in fields
        if not is_under(key, SECTIONS) or key in MACHINE
    ]
    missing = [key for key in fields if key not in known and is_under(key, SECTIONS)]
    return [*foreign, *(f"{key}: is not a known field{did_you_mean(key, known)}" for key in missing)]


def _values(distribution: Distribution) -> tuple[Any, ...]:
    return distribution.values if isinstance(distribution, Categorical) else (distribution,)


@lru_cache(maxsize=32)
def _compose(overrides: tuple[str, ...]) -> dict[str, Any]:
    return compose(overrides)


def _refuse(faults: list[str], section: str = "sweep.space") -> None:
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise AssayError(f"{section} is not valid:\n{lines}")
