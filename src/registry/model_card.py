"""A model card (Mitchell et al., 2019): what a registered model is for, what it can do and what not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LONGEST = 5000  # characters that every registry takes as a description
SHOWN = 40  # names of classes


@dataclass(frozen=True)
class ModelCardFacts:
    """What the card says of one version."""

    name: str  # of the registered model
    variant: str
    data: str  # name of the data set
    data_digest: str
    classes: Sequence[str]
    channels: int
    height: int  # pixels
    width: int
    resize_mode: str  # how an image of another shape gets there: pad, crop or stretch
    steps: Sequence[str]
    metrics: Mapping[str, float]  # by their names in MLflow; those that are missing are left out
    confidence: float  # of the intervals
    machine: str  # that the times were measured on
    weakest: (
        tuple[str, float] | None
    )  # class that the base recalls worst among the test images, and its recall
    lineage: str
    sha256: str  # of model.onnx
    commit: str
    dirty: Sequence[str]  # files that differ from the commit


def model_card(facts: ModelCardFacts) -> str:
    """Markdown, 5000 characters at most."""
    parts = [_head(facts), _use(facts), _figures(facts), _limits(facts), _origin(facts), _loading(facts)]
    text = "\n\n".join(parts) + "\n"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]}…\n"


def _head(facts: ModelCardFacts) -> str:
    return (
        f"# {facts.name}: {facts.variant}\n\n"
        f"Classifies images into {len(facts.classes)} classes. Made from the base model by: "
        f"{', '.join(facts.steps)}."
    )


def _use(facts: ModelCardFacts) -> str:
    shown = [_escaped(name) for name in facts.classes[:SHOWN]]
    rest = len(facts.classes) - len(shown)
    colour = "grey" if facts.channels == 1 else "RGB"
    return (
        "## What it is for\n\n"
        f"- **Data**: images like those of the data set `{facts.data}`, its training data.\n"
        f"- **Classes**: {', '.join(shown)}{f' and {rest} more' if rest else ''}.\n"
        f"- **Input**: image files of any size, or uint8 arrays; they become {facts.height} × {facts.width} "
        f"{colour} pixels (`resize_mode: {facts.resize_mode}`). Normalization is inside the model.\n"
        "- **Output**: the class, and a probability for each class."
    )


def _figures(facts: ModelCardFacts) -> str:
    rows = [
        _accuracy(facts, "Accuracy, validation", "val/accuracy"),
        _accuracy(facts, "Change against the base, validation", "val/accuracy_change", "+"),
        _accuracy(facts, "Accuracy, test", "test/accuracy"),
        _accuracy(facts, "Change against the base, test", "test/accuracy_change", "+"),
        _plain(facts, "Agreement with the base, validation", "agreement", ".4f"),
        _plain(facts, "Calibration error, test", "test/calibration_error", ".4f"),
        _plain(facts, "Bytes of model.onnx", "bytes", ",.0f"),
        _plain(facts, "Parameters", "parameters", ",.0f"),
        _plain(facts, "Share of them that is zero", "sparsity", ".3f"),
        _plain(facts, "Multiply-accumulates for one image", "macs", ",.0f"),
        _plain(facts, "Milliseconds for one image, median", "latency_ms_p50", ".3f"),
        _plain(facts, "Milliseconds for one image, 95th percentile", "latency_ms_p95", ".3f"),
        _plain(facts, "Images a second in batches of 64", "throughput_64", ",.0f"),
    ]
    table = "\n".join(row for row in rows if row)
    return (
        f"## Figures\n\n| | | {facts.confidence:.0%} interval |\n| --- | --- | --- |\n{table}\n\n"
        "Variants were chosen by validation figures; test figures have decided nothing. "
        f"Times: {facts.machine}."
    )


def _accuracy(facts: ModelCardFacts, title: str, key: str, sign: str = "") -> str:
    values = [facts.metrics.get(f"{key}{end}") for end in ("", "_low", "_high")]
    if values[0] is None:
        return ""
    limits = f"{values[1]:{sign}.4f} to {values[2]:{sign}.4f}" if None not in values else ""
    return f"| {title} | {values[0]:{sign}.4f} | {limits} |"


def _plain(facts: ModelCardFacts, title: str, key: str, form: str) -> str:
    value = facts.metrics.get(key)
    return "" if value is None else f"| {title} | {value:{form}} | |"


def _limits(facts: ModelCardFacts) -> str:
    lines = [
        "It names one of its classes whatever it is shown, an image of something else too.",
        "The figures hold for images like those of the data set. Other cameras, other framing or another mix "
        "of classes change them.",
        "Times hold for the machine named above. Zero weights make no dense file smaller or faster.",
    ]
    if facts.weakest is not None:
        name, recall = facts.weakest
        lines.append(
            f"Of the test images of class {_escaped(name)} the base finds {recall:.1%}, of no class fewer."
        )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _origin(facts: ModelCardFacts) -> str:
    dirty = f", with changes in {', '.join(facts.dirty)}" if facts.dirty else ""
    return (
        "## Where it comes from\n\n"
        f"- Lineage `{facts.lineage}` (stage `compress@{facts.variant}`), commit `{facts.commit}`{dirty}\n"
        f"- Data digest `{facts.data_digest}`\n"
        f"- SHA-256 of model.onnx `{facts.sha256}`\n"
        "- The artifact `record/` has the configuration, code and package list to make it again."
    )


def _loading(facts: ModelCardFacts) -> str:
    version = f"models:/{facts.name}/VERSION"
    return (
        "## How to load it\n\n"
        f"VERSION is the number of this version; `models:/{facts.name}@champion` is the one in use.\n\n"
        "```python\n"
        f'model = mlflow.pyfunc.load_model("{version}")\n'
        'model.predict(pandas.DataFrame({"image": [path.read_bytes()]}))\n'
        "```\n"
        "```python\n"
        f'folder = mlflow.artifacts.download_artifacts("{version}")\n'
        'session = onnxruntime.InferenceSession(f"{folder}/artifacts/model/model.onnx")\n'
        f'session.run(["logits"], {{"images": pixels}})  # uint8 (N, {facts.channels}, {facts.height}, '
        f"{facts.width})\n"
        "```\n"
        "```\n"
        f"mlflow models serve -m {version} --env-manager local --port 5001\n"
        "curl localhost:5001/invocations -H 'Content-Type: application/json' \\\n"
        '  -d \'{"dataframe_split": {"columns": ["image"], "data": [["BASE64 OF AN IMAGE FILE"]]}}\'\n'
        "```\n"
        "No pickle in any of them."
    )


def _escaped(text: str) -> str:
    """As Markdown shows it literally."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in text)
