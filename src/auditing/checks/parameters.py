"""Do MLflow, params.yaml and dvc.lock say the same?"""

from typing import Any

import yaml

from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.config.dotted_keys import flatten, lookup, set_dotted
from src.core.errors import AssayError
from src.registry.versions import RunFacts
from src.tracking.run_tags import LONGEST_PARAMETER, parameter_text, variant_parameters

QUESTION = "Do MLflow, params.yaml and dvc.lock name the same settings?"
BEST = "sweep/best.yaml"


def check(subject: AuditTarget, see: CheckLog) -> None:
    """Compare the three by pairs."""
    _lock(subject, see)
    if subject.run is None:
        see.note("MLflow knows no run of this, so its parameters are not compared")
        return
    for run, stage in ((subject.run, subject.stage), (subject.base, "train")):
        if run is not None:
            _mlflow(subject, run, stage, see)


def _lock(subject: AuditTarget, see: CheckLog) -> None:
    """params.yaml against what each stage ran with."""
    verdict = Verdict.DIFFERENT if subject.is_workspace else Verdict.INCOMPLETE
    seen, count = set(), 0
    for name in subject.behind():
        told = subject.lock[name].parameters
        for key in subject.stages[name].parameters:
            ours, theirs = _value(subject.params, key), told.get(key)
            count += 1
            for leaf, one, other in _differences(key, ours, theirs):
                if leaf not in seen:
                    seen.add(leaf)
                    see.find(leaf, f"{other}, by dvc.lock", f"{one} in params.yaml", verdict)
    if not seen:
        see.agree(f"params.yaml says what the stages ran with by dvc.lock, in {count} sections and fields")


def _mlflow(subject: AuditTarget, run: RunFacts, stage: str, see: CheckLog) -> None:
    """The parameters of a run against the record, with what the search found."""
    values, wanted = dict(flatten(_with_found(subject))), _read_by(subject, stage)
    variant = stage.partition("@")[2]
    if variant:  # its run has its own settings only
        values = variant_parameters(variant, values)
        wanted = set(values) if wanted else wanted
    values = {key: parameter_text(value) for key, value in values.items()}
    cut = sorted(key for key in run.params if len(values.get(key, "")) == LONGEST_PARAMETER)
    differing = 0
    for key in sorted(run.params.keys() | wanted):
        expected, found = values.get(key), run.params.get(key)
        if expected != found:
            differing += 1
            verdict = Verdict.INCOMPLETE if found is None else Verdict.TAMPERED
            see.find(f"{key} of {run.name}", expected, f"{found} in MLflow", verdict)
    if cut:
        see.note(f"MLflow keeps {LONGEST_PARAMETER:,} characters of {', '.join(cut)}; dvc.lock has all")
    if not differing:
        see.agree(f"MLflow's {len(run.params)} parameters of {run.name} are those of the record")
    see.equal(f"seed of {run.name}", str(subject.params["seed"]), run.tags.get("seed"), Verdict.TAMPERED)


def _with_found(subject: AuditTarget) -> dict[str, Any]:
    """params.yaml with the settings that the search found, which all that comes after it has used."""
    path = subject.folder / BEST
    if not path.is_file():
        return subject.params
    return set_dotted(subject.params, yaml.safe_load(path.read_text(encoding="utf-8")) or {})


def _read_by(subject: AuditTarget, stage: str) -> set[str]:
    """The keys that the stage and those before it read; empty if their inputs are not here."""
    try:
        return set(subject.graph.parameters_of(stage, subject.params))
    except AssayError:
        return set()


def _value(values: dict[str, Any], key: str) -> Any:
    try:
        return lookup(values, key)
    except AssayError:
        return None


def _differences(key: str, ours: Any, theirs: Any) -> list[tuple[str, Any, Any]]:
    """(dotted key, ours, theirs) of the leaves that differ."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return [(key, ours, theirs)] if ours != theirs else []
    one, other = dict(flatten(ours, f"{key}.")), dict(flatten(theirs, f"{key}."))
    return [
        (leaf, one.get(leaf), other.get(leaf))
        for leaf in sorted(one.keys() | other.keys())
        if one.get(leaf) != other.get(leaf)
    ]
