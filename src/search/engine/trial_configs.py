"""The configurations that the proposals of a search stand for."""

import difflib
import itertools
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from src.config.dotted_keys import flatten, is_under, lookup, set_dotted
from src.config.loading import CONF, LoadedConfig, compose
from src.core.errors import AssayError
from src.search.engine.distributions import Categorical, Distribution
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Settings
from src.search.engine.space import SearchSpace
from src.search.engine.space_syntax import parse_space

if TYPE_CHECKING:
    from src.config.schema import Config


SECTIONS = ("model", "augment", "train")  # what a search may change: all else was decided before it
MACHINE = ("train.threads",)  # sweep.threads decides


class TrialConfigs:
    """What a search may choose from, and the configuration of each choice."""

    def __init__(self, loaded: LoadedConfig) -> None:
        """
        Raises:
            AssayError: sweep.space or sweep.proxy cannot be searched; all faults are named.
        """
        self.loaded = loaded
        sweep = loaded.config.sweep
        domains = parse_space(sweep.space)
        groups = tuple(key for key in domains if "." not in key and (CONF / key).is_dir())
        _refuse([*self._bad_groups(groups, domains), *self._bad_proxy(domains)])
        present = {
            names: frozenset(dict(flatten(self._composed(tuple(zip(groups, names, strict=True))))))
            for names in itertools.product(*(_values(domains[group]) for group in groups))
        }
        fields = [key for key in domains if key not in groups]
        _refuse(_bad_fields(fields, frozenset().union(*present.values())))
        self.space = SearchSpace(
            domains, groups, {names: known & set(fields) for names, known in present.items()}
        )

    def config(self, settings: Settings) -> "Config":
        """The configuration of a trial.

        Raises:
            AssayError: the settings contradict each other or the rest.
        """
        sweep = self.loaded.config.sweep
        groups = tuple((group, settings[group]) for group in self.space.groups)
        fields = {key: value for key, value in settings.items() if key not in self.space.groups}
        values = set_dotted(self._composed(groups), {**sweep.proxy, **fields, "train.threads": sweep.threads})
        try:
            return self.loaded.check(values, "the trial")
        except AssayError as error:  # only the faults: they are kept as the trial's reason, on one line
            faults = [line.strip() for line in str(error).splitlines() if line.startswith("  ")]
            raise AssayError("; ".join(faults)) from error

    def longest(self) -> int:
        """Epochs of the longest trial."""
        sweep = self.loaded.config.sweep
        proxied = lookup(set_dotted(self.loaded.values, sweep.proxy), "train.epochs")
        domain = self.space.domains.get("train.epochs")
        if domain is None:
            return int(proxied)
        return int(max(domain.values) if isinstance(domain, Categorical) else domain.high)

    def _composed(self, groups: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
        """Plain values with these choices of groups."""
        overrides = tuple(f"{group}={name}" for group, name in groups)
        return _compose((*self.loaded.overrides, *overrides)) if overrides else self.loaded.values

    def _bad_groups(self, groups: tuple[str, ...], domains: dict[str, Distribution]) -> list[str]:
        if groups and not self.loaded.is_ad_hoc:
            return [
                f"{', '.join(groups)}: the pipeline reads only params.yaml, and cannot choose whole groups. "
                "Do it by hand and take over what it finds: python -m src.sweep sweep=… --adopt, then "
                "python -m src.compose experiment=NAME"
            ]
        return [
            f"{group}: must be choice(…) of {', '.join(_names(group))}, but got {name!r}"
            for group in groups
            for name in _values(domains[group])
            if name not in _names(group)
        ]

    def _bad_proxy(self, domains: dict[str, Distribution]) -> list[str]:
        proxy = self.loaded.config.sweep.proxy
        known = set(dict(flatten(self.loaded.values)))
        return [
            *(
                f"{key}: is in sweep.proxy, which fixes it: take it out of one"
                for key in domains
                if key in proxy
            ),
            *(
                f"{key} (of sweep.proxy): there is no such field{_close(key, known)}"
                for key in proxy
                if key not in known
            ),
        ]


def _bad_fields(fields: list[str], known: frozenset[str]) -> list[str]:
    foreign = [
        f"{key}: a search changes {', '.join(SECTIONS)}; what other stages read is decided before it"
        for key in fields
        if not is_under(key, SECTIONS) or key in MACHINE
    ]
    missing = [key for key in fields if key not in known]
    return [
        *foreign,
        *(f"{key}: there is no such field{_close(key, known)}" for key in missing if is_under(key, SECTIONS)),
    ]


def _close(key: str, known: "set[str] | frozenset[str]") -> str:
    found = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""


def _values(domain: Distribution) -> tuple[Any, ...]:
    return domain.values if isinstance(domain, Categorical) else (domain,)


def _names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@lru_cache(maxsize=32)
def _compose(overrides: tuple[str, ...]) -> dict[str, Any]:
    return compose(overrides)


def _refuse(faults: list[str]) -> None:
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise AssayError(f"sweep.space cannot be searched:\n{lines}")


def make_plan(candidates: "TrialConfigs", seed: int) -> SearchPlan:
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
        objectives={str(figure): way for figure, way in sweep.objectives.items()},
        constraints=tuple(sweep.constraints),
        seed=seed,
        max_failures=sweep.max_failures,
        max_steps=sweep.folds or candidates.longest(),
    )
