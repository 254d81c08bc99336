"""Section ``sweep``."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.base import Count, Name, Section

Figure = Literal["val/accuracy", "val/loss", "parameters", "macs", "bytes"]
NUMBER = r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
BOUND = rf"^(val/accuracy|val/loss|parameters|macs|bytes) *(<=|>=) *{NUMBER}$"
Constraint = Annotated[str, Field(pattern=BOUND)]


class Sweep(Section):
    """A search for better settings of the training."""

    method: Literal["none", "grid", "random", "tpe", "gp", "cmaes", "nsga2"]  # none: no search
    space: dict[str, str]  # field: what it may be, in Hydra's sweep syntax
    proxy: dict[str, Any]  # field: what it is in all trials, instead of what the training has
    trials: Count  # in all
    batch: Count  # proposed together; sampling and pruning look at earlier batches only
    pruner: Literal["none", "median", "hyperband", "successive_halving", "wilcoxon"]
    objectives: Annotated[dict[Figure, Literal["minimize", "maximize"]], Field(min_length=1)]
    constraints: list[Constraint]
    folds: Annotated[int, Field(ge=0)]  # that a trial is the mean of; 0: the validation split
    threads: Count  # of a trial; changes the bytes of the result
    retries: Annotated[int, Field(ge=0)]  # of a trial that the machine stopped
    max_failures: Count  # the first trials in a row that may fail
    n_jobs: Literal["auto"] | Count  # trials at a time
    asynchronous: bool
    storage: Annotated[str, Field(pattern=r"^(embedded|[a-z0-9+]+://.+)$")]
    study: Name | None

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
            raise ValueError("cmaes (sweep.method) takes one objective: use nsga2, tpe, gp, grid or random")
        if before.data.get("pruner", "none") != "none":
            raise ValueError(
                f"sweep.pruner={before.data['pruner']} takes one objective: set sweep.pruner=none"
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
                f"must be 0 with sweep.pruner={pruner}, which needs epochs: folds are pruned by median or "
                f"wilcoxon, but got {folds}"
            )
        if pruner == "wilcoxon" and folds < 5:
            raise ValueError(
                "must be at least 5 with sweep.pruner=wilcoxon: with fewer pairs its test cannot decide "
                f"before the last fold, but got {folds}"
            )
        return folds

    @field_validator("asynchronous")
    @classmethod
    def _generations_need_batches(cls, asynchronous: bool, before: ValidationInfo) -> bool:
        method = before.data.get("method")
        if asynchronous and method in ("cmaes", "nsga2"):
            raise ValueError(f"must be false with sweep.method={method}, which works in generations")
        return asynchronous
