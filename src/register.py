"""Put the chosen model into the MLflow Model Registry.

    dvc repro register            (or: python -m src.register, to register by hand under another name)

Takes models/<register.variant>/model.onnx, writes the decision to reports/register/decision.json and
registers that file, with what it was made from, under the alias `register.alias`. Takes a few seconds.
If MLflow does not answer, the decision is kept and `python -m src.track` carries it out.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.execution import Execution, execute

if TYPE_CHECKING:
    from src.schema import Config
    from src.tracking.registry import Action


def build(config: "Config", run: Execution) -> None:
    """Decide, write the decision down, register, and sum the pipeline up."""
    from src.provenance.journal import write_json
    from src.tracking.live import register
    from src.tracking.registry import Action, keep_record, keeps, propose

    chosen = config.register_
    folder = Path("models") / chosen.variant
    decision = decide(folder, config)
    write_json(run.folder / "decision.json", decision)
    action = Action(
        name=chosen.name,
        alias=chosen.alias,
        variant=chosen.variant,
        lineage=run.lineage.parents[f"compress@{chosen.variant}"],
        sha256=decision["sha256"],
        experiment=config.data.name,
        record=keep_record(run.root, Path()),
        tags={
            key: str(value)
            for key, value in decision.items()
            if key.endswith("_accuracy") and value is not None
        },
    )
    if not keeps(run.root, action):
        adopt(run, action, folder)
    propose(run.root, action)
    version = register(run.root, action)
    for line in summary(decision, str(version) if version else None):
        run.say(line)


def decide(folder: Path, config: "Config") -> dict[str, Any]:
    """The decision on the model in ``folder``: a function of the inputs, so with no version and no time.

    Raises:
        AssayError: the variant has no model.
    """
    from src.errors import AssayError
    from src.provenance.hashes import file_hash

    path, variant = folder / "model.onnx", _read(folder / "variant.json")
    if not path.is_file():
        reason = f": {variant['reason']}" if variant.get("reason") else ""
        raise AssayError(
            f"{path} is missing{reason}. Set register.variant to one that has a model, or make it: "
            f"dvc repro compress@{folder.name}"
        )
    accuracy = _read(Path("reports/evaluate/metrics.json")).get("accuracy", {})
    return {
        "model": config.register_.name,
        "variant": config.register_.variant,
        "alias": config.register_.alias,
        "sha256": file_hash(path),
        "reason": "the variant that register.variant names",
        "validation_accuracy": variant.get("validation_accuracy"),
        "test_accuracy": accuracy.get("value"),
        "test_accuracy_low": accuracy.get("low"),
        "test_accuracy_high": accuracy.get("high"),
    }


def adopt(run: Execution, action: "Action", folder: Path) -> None:
    """Give the journal an attempt for files that it does not know: DVC's cache or a team mate made them."""
    from src.provenance.hashes import tree_hashes
    from src.provenance.journal import Attempt

    address = f"compress@{action.variant}"
    own = {"stage": "compress", "address": address, "variant": action.variant, "lineage": action.lineage}
    known = {"subject": action.lineage, "parents": {}, "name": f"{address}-{action.lineage[:8]}"}
    tags = {"adopted": "made elsewhere: of its execution nothing is known here"}
    attempt = Attempt.open(run.root, {**run.attempt.record, **own, **known, "tags": tags})
    attempt.add_model(folder)
    attempt.update(outputs=tree_hashes(folder))
    attempt.close("FINISHED")


def summary(decision: dict[str, Any], version: str | None) -> list[str]:
    """What the whole pipeline has come to, for the terminal."""
    lines = []
    if decision["test_accuracy"] is not None:
        value, low, high = (decision[f"test_accuracy{end}"] for end in ("", "_low", "_high"))
        interval = f" (95% interval {low:.4f} to {high:.4f})" if low is not None else ""
        lines.append(f"Test accuracy    {value:.4f}{interval}, of the base model")
    registered = version or f"{decision['model']}: decided, not yet carried out (python -m src.track)"
    return [
        *lines,
        "Figures          reports/evaluate/",
        f"Registered       {registered}",
        "Look at it       make ui",
    ]


def _read(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no file."""
    from src.provenance.journal import read_json

    return read_json(path) if path.is_file() else {}


if __name__ == "__main__":
    execute("register", build, __doc__)
