"""Section ``register``."""

from typing import Annotated, Literal

from pydantic import Field

from src.config.schema.base import Count, Name, NotNegative, Positive, Section


class Policy(Section):
    """What the chosen variant is best at, among those that keep the budgets; judged on validation images."""

    optimize: Literal["latency", "bytes", "accuracy"] = Field(
        description="What the best of the variants within the limits is best at"
    )
    max_accuracy_drop: NotNegative | None = Field(
        description="Largest loss of validation accuracy against the base model, as a share; null: any"
    )
    max_latency_ms: Positive | None = Field(description="Largest median time for one image, ms; null: any")
    max_bytes: Count | None = Field(description="Largest model.onnx, bytes; null: any")


class Register(Section):
    """What goes into the MLflow Model Registry, and when it becomes champion."""

    name: Name = Field(description="Name of the registered model")
    policy: Policy = Field(description="Which variant is chosen")
    level: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="Significance level of the test that a challenger is no worse than the champion"
    )
    promote: Literal["embedded", "auto", "never"] = Field(
        description="Whether the choice becomes champion by itself; embedded: only in the local registry; "
        "auto: on a server too"
    )
