"""Section ``register``."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from src.config.schema.base import Name, Section
from src.core.metric_names import metric_of

NUMBER = r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
CONSTRAINT = re.compile(rf"(?P<metric>\S+) *(?P<relation><=|>=) *(?P<bound>{NUMBER})")
SCOPES = ("val", "model", "speed")  # test images choose nothing


def _check_metric(name: str) -> str:
    if name.partition("/")[0] not in SCOPES:
        raise ValueError(f"must be a metric of {', '.join(f'{scope}/' for scope in SCOPES)}, but got {name}")
    try:
        metric = metric_of(name)
    except KeyError as error:
        raise ValueError(str(error.args[0])) from error
    if metric.direction is None:
        raise ValueError(f"{name} is neither better high nor better low, so it cannot decide")
    return name


def _check_constraint(constraint: str) -> str:
    match = CONSTRAINT.fullmatch(constraint)
    if match is None:
        raise ValueError(f"must be a metric, <= or >=, and a number, but got {constraint!r}")
    _check_metric(match["metric"])
    return constraint


MetricName = Annotated[str, AfterValidator(_check_metric)]
Constraint = Annotated[str, AfterValidator(_check_constraint)]


class Policy(Section):
    """Chooses a variant by metrics of validation images, of the model file and of the machine."""

    optimize: MetricName = Field(
        description="Metric that decides among the variants that meet the constraints; not of test images"
    )
    constraints: list[Constraint] = Field(
        description="What a variant must meet to be chosen, such as model/bytes <= 200000; []: nothing"
    )


class Register(Section):
    """What goes into the MLflow Model Registry, and when it becomes champion."""

    name: Name = Field(description="Name of the registered model")
    policy: Policy = Field(description="Which variant is chosen")
    level: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="Significance level of the test that a challenger is no worse than the champion"
    )
    promote: Literal["embedded", "auto", "never"] = Field(
        description="Whether the choice becomes champion automatically; embedded: only in mlflow.db; "
        "auto: on a server too"
    )
