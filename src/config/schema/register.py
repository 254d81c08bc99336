"""Section ``register``."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from src.config.schema.base import Name, Positive, Section
from src.core.metric_names import COMPARISON, PER_CLASS, PREDICTION, is_listed, metric_of

NUMBER = r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
CONSTRAINT = re.compile(rf"(?P<metric>\S.*?) *(?P<relation><=|>=) *(?P<bound>{NUMBER})")
SCOPES = ("val", "model", "speed")  # test images choose nothing
JUDGED = (
    *(f"val/{name}" for name in PREDICTION if name != "loss"),  # its log_loss is computed
    *(f"val/{name}/CLASS" for name in PER_CLASS),
)
COMPARED = tuple(f"val/{name}" for name in COMPARISON)  # with the base, by stage compare


def _check_metric(name: str) -> str:
    if name.partition("/")[0] not in SCOPES:
        raise ValueError(f"must be a metric of {', '.join(f'{scope}/' for scope in SCOPES)}, but got {name}")
    try:
        metric = metric_of(name)
    except KeyError as error:
        raise ValueError(str(error.args[0])) from error
    if name.startswith("val/") and not (is_listed(name, JUDGED) or name.startswith(COMPARED)):
        raise ValueError(f"must be one of {', '.join((*JUDGED, *COMPARED))}, but got {name}")
    if metric.direction is None:
        raise ValueError(f"{name} is neither better high nor better low, so it cannot decide")
    return name


def _check_constraint(constraint: str) -> str:
    match = CONSTRAINT.fullmatch(constraint)
    if match is None:
        raise ValueError(f"must be a metric, <= or >=, and a number, but got {constraint!r}")
    _check_metric(match["metric"])
    return constraint


def _check_judged(name: str) -> str:
    if not is_listed(name, JUDGED):
        raise ValueError(f"must be one of {', '.join(JUDGED)}, but got {name}")
    return name


MetricName = Annotated[str, AfterValidator(_check_metric)]
Constraint = Annotated[str, AfterValidator(_check_constraint)]


class Policy(Section):
    """Chooses a variant by metrics of validation images, of the model file and of the machine.

    A variant must be non-inferior to the base, and a challenger to the champion: see docs/non-inferiority.md.
    """

    metric: Annotated[str, AfterValidator(_check_judged)] = Field(
        description="Metric of the validation images in which a model must not be worse by more than margin"
    )
    margin: Positive = Field(
        description="Largest loss that is acceptable, in the unit of metric: 0.01 is one point of accuracy"
    )
    level: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        description="Significance level of the one-sided test, shared by all variants (Holm); with 0.05 the "
        "upper limit of the loss has 95% confidence"
    )
    constraints: list[Constraint] = Field(
        description="What else a variant must meet to be chosen, such as model/bytes <= 200000; []: nothing"
    )
    optimize: MetricName = Field(
        description="Metric that decides among the variants that meet all this; not of test images"
    )
    tie_breakers: list[MetricName] = Field(
        description="Metrics that decide, in this order, among variants whose intervals of optimize overlap"
    )


class Register(Section):
    """What goes into the MLflow Model Registry, and when it becomes champion."""

    name: Name = Field(description="Name of the registered model")
    policy: Policy = Field(description="Which variant is chosen")
    promote: Literal["embedded", "auto", "never"] = Field(
        description="Whether the choice becomes champion automatically; embedded: only in mlflow.db; "
        "auto: on a server too"
    )
