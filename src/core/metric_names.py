"""Every metric by its one name, ``<scope>/<metric>``, with direction, unit and meaning.

The same string names a metric in MLflow, in the header of a CSV file and in a parameter (``train.monitor``,
``sweep.objectives``, constraints, ``register.policy``). In JSON files it is nested by the same parts, see
:func:`nest`. A part below the metric says more of it: ``test/accuracy/low``, ``cv/accuracy/std``.

``val/accuracy`` is always that of the kept model. What an epoch measured has the prefix ``epoch/``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["maximize", "minimize"]
CURVE = "epoch/"  # prefix of what is measured after every epoch
WEIGHTS = "weights"  # column of history.csv: SHA-256 of the weights after an epoch
VALUE = "value"  # key in nested JSON of a metric that also has parts, such as low and high


@dataclass(frozen=True)
class Metric:
    """What a metric measures; ``direction`` is the better way, None where neither is."""

    direction: Direction | None
    unit: str  # "" for a share between 0 and 1 or another pure number
    meaning: str
    range: tuple[float, float] = (-math.inf, math.inf)  # least and greatest possible value


SHARE, CORRELATION, LOSS = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)

SETTINGS = ("top_k_accuracy", "calibration_error")  # those that depend on a setting of section evaluate

# Scopes train, val, test and cv share these.
PREDICTION = {
    "loss": Metric("minimize", "nats", "mean cross-entropy", LOSS),
    "accuracy": Metric("maximize", "", "share of images classified correctly", SHARE),
    "top_k_accuracy": Metric("maximize", "", "share of images whose class is among the k likeliest", SHARE),
    "balanced_accuracy": Metric("maximize", "", "mean recall over the classes", SHARE),
    "precision_macro": Metric("maximize", "", "precision, mean over the classes", SHARE),
    "recall_macro": Metric("maximize", "", "recall, mean over the classes", SHARE),
    "f1_macro": Metric("maximize", "", "F1, mean over the classes", SHARE),
    "precision_weighted": Metric("maximize", "", "precision, weighted by class size", SHARE),
    "recall_weighted": Metric("maximize", "", "recall, weighted by class size", SHARE),
    "f1_weighted": Metric("maximize", "", "F1, weighted by class size", SHARE),
    "roc_auc": Metric("maximize", "", "area under the ROC curve, one against the rest, mean", SHARE),
    "average_precision": Metric("maximize", "", "area under the precision-recall curve, mean", SHARE),
    "log_loss": Metric("minimize", "nats", "mean negative log likelihood", LOSS),
    "brier": Metric("minimize", "", "mean squared error of the probabilities", (0.0, 2.0)),
    "calibration_error": Metric("minimize", "", "expected calibration error", SHARE),
    "cohen_kappa": Metric("maximize", "", "agreement beyond chance", CORRELATION),
    "matthews": Metric("maximize", "", "Matthews correlation coefficient", CORRELATION),
    "recall_min": Metric("maximize", "", "recall of the weakest class", SHARE),
}
# Of one class, whose name is the part below: val/recall/cat.
PER_CLASS = {
    "precision": Metric("maximize", "", "precision of one class", SHARE),
    "recall": Metric("maximize", "", "recall of one class", SHARE),
    "f1": Metric("maximize", "", "F1 of one class", SHARE),
}

# Measured after every epoch.
ALWAYS = ("val/loss", "val/accuracy")
# What ``train.monitor`` and ``sweep.objectives`` can name; the rest is measured if they do. Not what depends
# on a setting of another section: evaluate.top_k, evaluate.calibration_bins.
MONITORED = (
    *ALWAYS,
    *(f"val/{name}" for name in PREDICTION if name not in ("loss", "accuracy", *SETTINGS)),
    *(f"val/{name}/CLASS" for name in PER_CLASS),
)

# Against the base model, on the same images.
COMPARISON = {
    "accuracy/change": Metric("maximize", "", "accuracy minus that of the base model"),
    "mcnemar_p": Metric(None, "", "p of McNemar's test against the base model"),
    "agreement": Metric("maximize", "", "share of images with the same class as the base model"),
}

METRICS: dict[str, Metric] = {
    **{
        f"{scope}/{name}": metric
        for scope in ("train", "val", "test", "cv")
        for name, metric in (PREDICTION | PER_CLASS).items()
    },
    **{f"{scope}/{name}": metric for scope in ("val", "test") for name, metric in COMPARISON.items()},
    "train/best_epoch": Metric(None, "epochs", "epoch whose weights were kept"),
    "train/gradient_norm": Metric(None, "", "norm of the gradient before clipping, mean over the steps"),
    "val/largest_difference": Metric("minimize", "logits", "largest difference of an int8 model's logit"),
    "search/trials": Metric(None, "trials", "trials that ended"),
    "search/complete": Metric(None, "trials", "trials that ran to their end"),
    "search/pruned": Metric(None, "trials", "trials that were stopped early"),
    "search/failed": Metric(None, "trials", "trials that failed"),
    "search/epochs": Metric(None, "epochs", "epochs trained in all trials"),
    "model/parameters": Metric("minimize", "", "trained values"),
    "model/nonzero_parameters": Metric("minimize", "", "trained values that are not zero"),
    "model/sparsity": Metric("maximize", "", "share of the parameters that are zero"),
    "model/macs": Metric("minimize", "", "multiply-accumulates for one image"),
    "model/bytes": Metric("minimize", "bytes", "size of the file with the weights"),
    "model/gzip_bytes": Metric("minimize", "bytes", "size of that file when compressed with gzip"),
    "model/size_ratio": Metric("maximize", "", "bytes of the base model divided by those of this one"),
    "speed/latency_p50_ms": Metric("minimize", "ms", "median time to classify one image"),
    "speed/latency_p95_ms": Metric("minimize", "ms", "95th percentile of the time to classify one image"),
    "speed/throughput": Metric("maximize", "images/s", "images per second; the part below is the batch size"),
    "speed/peak_memory_mb": Metric("minimize", "MiB", "most memory a process needs to load it and answer"),
    "speed/vs_torch": Metric("maximize", "", "throughput divided by that of the base model in PyTorch"),
    "speed/vs_onnxruntime": Metric("maximize", "", "throughput divided by that of the base in ONNX Runtime"),
}


def metric_of(name: str) -> Metric:
    """The metric that a name belongs to: ``test/accuracy/low`` is of ``test/accuracy``.

    Raises:
        KeyError: no such metric is listed here.
    """
    parts = name.removeprefix(CURVE).split("/")
    for length in range(len(parts), 1, -1):
        if "/".join(parts[:length]) in METRICS:
            return METRICS["/".join(parts[:length])]
    raise KeyError(f"{name} is not a metric: src/core/metric_names.py lists them")


def class_of(name: str) -> str | None:
    """The class that a metric is of, None if it is of all.

    >>> class_of("val/recall/cat")
    'cat'
    """
    _, metric, of_class = (*name.removeprefix(CURVE).split("/", 2), "", "")[:3]
    return of_class if metric in PER_CLASS and of_class else None


def is_listed(name: str, names: Sequence[str]) -> bool:
    """Whether ``names`` has a metric; ``val/recall/CLASS`` stands for that of every class."""
    of_class = class_of(name)
    return (name if of_class is None else f"{name.removesuffix(of_class)}CLASS") in names


def with_limits(name: str) -> tuple[str, str, str]:
    """A metric, and the lower and the upper limit of its interval.

    >>> with_limits("test/accuracy")
    ('test/accuracy', 'test/accuracy/low', 'test/accuracy/high')
    """
    return name, f"{name}/low", f"{name}/high"


def nest(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """By the parts of the names, as JSON files hold them.

    >>> nest({"test/accuracy": 0.9, "test/accuracy/low": 0.8})
    {'test': {'accuracy': {'value': 0.9, 'low': 0.8}}}
    """
    nested: dict[str, Any] = {}
    for name, value in metrics.items():
        *above, last = name.split("/")
        place = nested
        for part in above:
            below = place.setdefault(part, {})
            if not isinstance(below, dict):
                below = place[part] = {VALUE: below}
            place = below
        if isinstance(place.get(last), dict):
            place[last] = {VALUE: value, **place[last]}
        else:
            place[last] = value
    return nested


def unnest(nested: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """What :func:`nest` was made from."""
    metrics: dict[str, Any] = {}
    for part, value in nested.items():
        name = above if part == VALUE and above else f"{above}/{part}" if above else part
        metrics |= unnest(value, name) if isinstance(value, Mapping) else {name: value}
    return metrics
