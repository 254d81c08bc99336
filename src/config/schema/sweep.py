"""Section ``sweep``."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from src.config.schema.base import Count, Name, Section
from src.config.suggestions import did_you_mean
from src.core.metric_names import MONITORED, is_listed
from src.core.wording import counted

OBJECTIVES = (*MONITORED, "model/parameters", "model/macs", "model/bytes")
NUMBER = r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
STORAGE = r"^(embedded|[a-z0-9+]+://.+)$"
BOUND = re.compile(rf"(?P<metric>\S.*?) *(<=|>=) *{NUMBER}")


def _check_objective(name: str) -> str:
    if not is_listed(name, OBJECTIVES):
        near = did_you_mean(name, OBJECTIVES)
        raise ValueError(f"must be one of {', '.join(OBJECTIVES)}, but got {name}{near}")
    return name


def _check_constraint(constraint: str) -> str:
    match = BOUND.fullmatch(constraint)
    if match is None or not is_listed(match["metric"], OBJECTIVES):
        raise ValueError(
            f"must be METRIC <= NUMBER or METRIC >= NUMBER, with one of {', '.join(OBJECTIVES)}, but got "
            f"{constraint!r}"
        )
    return constraint


Objective = Annotated[str, AfterValidator(_check_objective)]
Constraint = Annotated[str, AfterValidator(_check_constraint)]


class Sweep(Section):
    """A search for better settings of the training."""

    method: Literal["none", "grid", "random", "tpe", "gp", "cmaes", "nsga2"] = Field(
        description="How settings are proposed; none: no search"
    )
    space: dict[str, str] = Field(
        description="field: its values in Hydra's sweep syntax, such as choice(a, b), range(1, 5), "
        "interval(0, 0.5), int(interval(1, 64)) or tag(log, interval(1e-4, 1e-1)); null: not searched"
    )
    proxy: dict[str, Any] = Field(
        description="field: its value in all trials, for shorter trainings than the final one"
    )
    trials: Count = Field(description="Trials in all")
    enqueue: list[Annotated[dict[str, Any], Field(min_length=1)]] = Field(
        description="Settings to try first, each {field: value} with fields of sweep.space; a field that is "
        "missing is sampled"
    )
    batch: Count = Field(
        description="Trials proposed together. More keep more workers busy; with fewer, each proposal knows "
        "more results"
    )
    pruner: Literal["none", "median", "hyperband", "successive_halving", "wilcoxon"] = Field(
        description="How unpromising trials are stopped early; with folds: none, median or wilcoxon"
    )
    objectives: Annotated[dict[Objective, Literal["minimize", "maximize"]], Field(min_length=1)] = Field(
        description="metric: minimize or maximize"
    )
    constraints: list[Constraint] = Field(
        description='Limits such as "model/bytes <= 200000", which the best trial satisfies'
    )
    folds: Annotated[int, Field(ge=0)] = Field(
        description="Folds whose mean is the result of a trial, at least 2; 0: the validation split"
    )
    threads: Count = Field(description="Computing threads of one trial; changes the bytes of the result")
    retries: Annotated[int, Field(ge=0)] = Field(
        description="Times a trial runs again after its process ran out of memory or was killed"
    )
    max_failures: Count = Field(description="The search stops if this many trials fail before any succeeds")
    n_jobs: Literal["auto"] | Count = Field(
        description="Trials at a time; auto: cores / threads. Changes no result"
    )
    asynchronous: bool = Field(
        description="Ad-hoc searches only: propose a trial whenever a worker is free. Faster, but the result "
        "depends on timing"
    )
    storage: Annotated[str, Field(pattern=STORAGE)] = Field(
        description="embedded; in ad-hoc searches also the URL of a database that several machines share, "
        "such as postgresql://user@host/database"
    )
    study: Name | None = Field(
        description="Name of the search, for --adopt and --worker; null: made from the model and the method"
    )

    @field_validator("space", mode="before")
    @classmethod
    def _leaves_out_null(cls, space: Any) -> Any:
        """A recipe takes a field out of the default space this way: YAML is merged and removes nothing."""
        if not isinstance(space, dict):
            return space
        return {field: values for field, values in space.items() if values is not None}

    @field_validator("enqueue")
    @classmethod
    def _are_searched(cls, enqueue: list[dict[str, Any]], before: ValidationInfo) -> list[dict[str, Any]]:
        space, trials = before.data.get("space"), before.data.get("trials", len(enqueue))
        unknown = sorted({key for wanted in enqueue for key in wanted} - set(space or ()))
        if unknown and space is not None:
            listed = ", ".join(f"{key}{did_you_mean(key, space)}" for key in unknown)
            raise ValueError(f"must have fields of sweep.space, but got {listed}")
        if len(enqueue) > trials:
            raise ValueError(f"has {counted(len(enqueue), 'entry')}, but sweep.trials is {trials}")
        return enqueue

    @field_validator("pruner")
    @classmethod
    def _pairs(cls, pruner: str, before: ValidationInfo) -> str:
        method = before.data.get("method")
        if pruner != "none" and method == "nsga2":
            raise ValueError(f"must be none with sweep.method=nsga2, which cannot prune, but got {pruner}")
        return pruner

    @field_validator("objectives")
    @classmethod
    def _several_objectives(cls, objectives: dict[str, str], before: ValidationInfo) -> dict[str, str]:
        if len(objectives) == 1:
            return objectives
        if before.data.get("method") == "cmaes":
            raise ValueError("must be one with sweep.method=cmaes; nsga2, tpe, gp, grid and random take more")
        if before.data.get("pruner", "none") != "none":
            raise ValueError(
                f"must be one with sweep.pruner={before.data['pruner']}; for more set sweep.pruner=none"
            )
        return objectives

    @field_validator("folds")
    @classmethod
    def _fold_pruning(cls, folds: int, before: ValidationInfo) -> int:
        pruner = before.data.get("pruner")
        if folds == 1:
            raise ValueError("must be 0 (the validation split) or at least 2, but got 1")
        if folds and pruner in ("hyperband", "successive_halving"):
            raise ValueError(
                f"must be 0 with sweep.pruner={pruner}, which needs epochs, but got {folds}: with folds use "
                "median or wilcoxon"
            )
        if pruner == "wilcoxon" and folds < 5:
            raise ValueError(
                "must be at least 5 with sweep.pruner=wilcoxon, whose test cannot decide with fewer pairs, "
                f"but got {folds}"
            )
        return folds

    @field_validator("asynchronous")
    @classmethod
    def _generations_need_batches(cls, asynchronous: bool, before: ValidationInfo) -> bool:
        method = before.data.get("method")
        if asynchronous and method in ("cmaes", "nsga2"):
            raise ValueError(f"must be false with sweep.method={method}, which works in generations")
        return asynchronous
