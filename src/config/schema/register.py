"""Section ``register``."""

from typing import Annotated, Literal

from pydantic import Field

from src.config.schema.base import Count, Name, NotNegative, Positive, Section


class Policy(Section):
    """What the chosen variant is best at, among those that keep the budgets; judged on validation images."""

    optimize: Literal["latency", "bytes", "accuracy"]
    max_accuracy_drop: NotNegative | None  # share of validation images, against the base
    max_latency_ms: Positive | None  # median for one image
    max_bytes: Count | None  # of model.onnx


class Register(Section):
    """What goes into the MLflow Model Registry, and when it becomes champion."""

    name: Name
    policy: Policy
    level: Annotated[float, Field(gt=0, lt=1)]  # of the test that a challenger is no worse than the champion
    promote: Literal["embedded", "auto", "never"]  # embedded: by itself, but not on a team's server
