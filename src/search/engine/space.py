"""A search space: the values of each field, and which fields exist for which choice of groups."""

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from src.core.errors import AssayError
from src.search.engine.distributions import Categorical, Distribution, Range
from src.search.engine.records import Settings

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

MOST_POINTS = 1_000_000  # that a grid may have


@dataclass(frozen=True)
class SearchSpace:
    """The distribution of each field. A field may exist only for some choices of the groups."""

    domains: dict[str, Distribution]  # field or group -> distribution
    groups: tuple[str, ...] = ()  # the keys that are groups of conf/; each is a choice of names
    present: dict[tuple[Any, ...], frozenset[str]] = field(default_factory=dict)
    """Values of the groups in that order -> the fields that exist then; all of them if not listed."""

    def fields(self, chosen: Settings) -> list[str]:
        """The fields, without groups, that exist for these values of the groups, in the order of domains."""
        names = [name for name in self.domains if name not in self.groups]
        existing = self.present.get(tuple(chosen[group] for group in self.groups))
        return names if existing is None else [name for name in names if name in existing]

    def size(self) -> int:
        """How many combinations there are.

        Raises:
            AssayError: A field is an interval, which has no end of values; all such fields are named.
        """
        self._refuse_intervals()
        return sum(
            math.prod(len(values) for values in self._values(self.fields(chosen)))
            for chosen in self._choices()
        )

    def points(self) -> list[Settings]:
        """Every combination once; the last field varies fastest.

        Raises:
            AssayError: A field is an interval, or there are too many combinations to list.
        """
        count = self.size()
        if count > MOST_POINTS:
            raise AssayError(
                f"the grid has {count:,} points, but can have at most {MOST_POINTS:,}: leave out values in "
                "sweep.space, or use sweep.method=random"
            )
        return [
            {**chosen, **dict(zip(names, values, strict=True))}
            for chosen in self._choices()
            for names in [self.fields(chosen)]
            for values in itertools.product(*self._values(names))
        ]

    def suggest(self, trial: "BaseTrial") -> Settings:
        """Settings for a trial of Optuna: groups first, then the fields that exist for them."""
        chosen = {group: _suggest(trial, group, self.domains[group]) for group in self.groups}
        fields = {name: _suggest(trial, name, self.domains[name]) for name in self.fields(chosen)}
        return {**chosen, **fields}

    def encode(self, settings: Settings) -> dict[str, Any]:
        """The settings as Optuna's parameters, from which :meth:`suggest` makes the same settings."""
        return {name: _encode(self.domains[name], value) for name, value in settings.items()}

    def value_in(self, field: str, value: Any) -> Any:
        """``value`` as one of the values that the field can take, such as 1.0 for 1.

        Raises:
            ValueError: The field cannot take it.
        """
        distribution = self.domains[field]
        if isinstance(distribution, Categorical):
            return _equal_value(distribution.values, value)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not distribution.low <= value <= distribution.high:
            raise ValueError
        if distribution.integer and value != int(value):
            raise ValueError
        return int(value) if distribution.integer else float(value)

    def _choices(self) -> Iterator[Settings]:
        """Every combination of the groups; a single empty one if there are no groups."""
        for values in itertools.product(*self._values(self.groups)):
            yield dict(zip(self.groups, values, strict=True))

    def _values(self, names: "list[str] | tuple[str, ...]") -> list[tuple[Any, ...]]:
        domains = [self.domains[name] for name in names]
        return [domain.values for domain in domains if isinstance(domain, Categorical)]

    def _refuse_intervals(self) -> None:
        endless = [name for name, domain in self.domains.items() if isinstance(domain, Range)]
        if endless:
            raise AssayError(
                f"sweep.method=grid tries every value, but {', '.join(endless)} in sweep.space is an "
                "interval: write choice(…) or range(…), or use another method"
            )


def _equal_value(values: tuple[Any, ...], value: Any) -> Any:
    """The value that is equal and of the same kind: 1 equals 1.0, but neither true nor "1"."""
    for known in values:
        if known == value and isinstance(known, bool) == isinstance(value, bool):
            return known
    raise ValueError


def _suggest(trial: "BaseTrial", name: str, domain: Distribution) -> Any:
    if isinstance(domain, Categorical):
        value = trial.suggest_categorical(name, [_encode(domain, value) for value in domain.values])
        return _decode(domain, value)
    if domain.integer:
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _encode(domain: Distribution, value: Any) -> Any:
    return value if isinstance(domain, Range) or _is_plain(domain) else json.dumps(value)


def _decode(domain: Categorical, value: Any) -> Any:
    return value if _is_plain(domain) else json.loads(value)


def _is_plain(domain: Categorical) -> bool:
    """Whether Optuna takes the values as they are.

    Otherwise all of them become JSON strings: to Optuna 1 equals true, and the string "[16]" could also be
    the list.
    """
    kinds = {type(value) for value in domain.values}
    return len(kinds) == 1 and kinds <= {str, int, float, bool}
