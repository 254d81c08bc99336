"""The tags and parameters of an MLflow run: what a person filters by and what *Compare* shows."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from src.config.dotted_keys import flatten
from src.tracking.journal_entry import JournalEntry
from src.tracking.mlflow_store import PARENT
from src.tracking.run_groups import RunGroup

if TYPE_CHECKING:
    from mlflow.entities import Run

STATE = "assay.state"  # tag: digest of the journal that the run shows
ATTEMPTS = "assay.attempts"  # tag: keys of the attempts that the run shows
LONGEST_TAG = 5000  # characters, MLflow's limit on some stores
LONGEST_REASON = 1000  # characters of a reason within another tag
LONGEST_PARAMETER = 6_000  # characters of a parameter in MLflow


def tags_of(group: RunGroup, parent: "Run | None" = None) -> dict[str, str]:
    """The tags of a group's run, which is below the run ``parent``."""
    record, git = group.head.record, group.head.record["git"]
    tags = {
        "mlflow.runName": record["name"],
        "stage": record["stage"],
        "lineage.id": record["lineage"],
        "lineage.parents": json.dumps(record["parents"], sort_keys=True),
        "git.commit": git["commit"] or "none",
        "git.dirty": ", ".join(git["dirty"]) or "no",
        "data.digest": record["data"].get("digest", "unknown"),
        "seed": str(record["seed"]),
        "numerics": json.dumps(record["numerics"] or {}, sort_keys=True),
        ATTEMPTS: ",".join(group.keys),
        **{key: str(value) for key, value in (record["tags"] or {}).items()},
        **_optional_tags(group, parent),
    }
    return {key: cut(value) for key, value in tags.items()}


def _optional_tags(group: RunGroup, parent: "Run | None") -> dict[str, str]:
    """Tags that not every run has."""
    head, git = group.head, group.head.record["git"]
    tags = {
        "mlflow.user": head.record.get("user"),
        "mlflow.parentRunId": parent.info.run_id if parent is not None else None,
        "mlflow.source.git.commit": git["commit"],
        "mlflow.source.git.branch": git.get("branch"),
        "git.branch": git.get("branch"),
        "dvc.exp_name": head.record.get("dvc_experiment"),
        "variant": head.record.get("variant"),
        "status.reason": head.reason,
        PARENT: head.parent,
    }
    if group.result is not None:
        tags |= {"outputs.digest": group.outputs_digest, "outputs": _outputs(group.result)}
    return {key: value for key, value in tags.items() if value}


def attachment_tags(entry: JournalEntry) -> dict[str, str]:
    """One tag for a stage that describes another stage's model, such as ``evaluate``.

    An attempt without a result has a tag of its own beside that of the last result: ``evaluate.failed``.
    """
    record = entry.record
    content = {
        "lineage": entry.lineage,
        "commit": record["git"]["commit"],
        "attempt": entry.key,
        **(record["tags"] or {}),
    }
    if entry.status == "FINISHED":
        return {entry.name: cut(json.dumps(content)), f"{entry.name}.failed": ""}
    failure = {"status": entry.status, "reason": (entry.reason or "")[:LONGEST_REASON]}
    return {f"{entry.name}.failed": cut(json.dumps(failure | content))}


def shows_attachment(tags: Mapping[str, str], entry: JournalEntry) -> bool:
    """Whether a run with these tags shows this attachment, or an equal result from another machine."""
    if entry.status == "FINISHED":
        return bool(_read(tags.get(entry.name)).get("lineage") == entry.lineage)
    return bool(_read(tags.get(f"{entry.name}.failed")).get("attempt") == entry.key)


def difference(first: "Run", group: RunGroup) -> dict[str, str]:
    """Tags for a second run of a lineage: which run is the first, and what differs."""
    ours, theirs = tags_of(group), first.data.tags
    outputs = _read(theirs.get("outputs"))
    files = sorted(path for path, digest in _read(ours["outputs"]).items() if outputs.get(path) != digest)
    here, there = _read(ours["numerics"]), _read(theirs.get("numerics"))
    numerics = [
        f"numerics.{key}: {here.get(key, 'none')} here, {there.get(key, 'none')} there"
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key)
    ]
    return {
        "lineage.first_run": first.info.run_id,
        "lineage.differs": cut("; ".join([*files, *numerics]) or "unknown"),
    }


def parameters_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a run: all that its stage and those before it read; of a variant only its own."""
    if record.get("variant") is None:
        return dict(record["params"])
    return variant_parameters(record["variant"], record["params"])


def parameter_text(value: Any) -> str:
    """A parameter as MLflow keeps it: it cuts longer texts, or refuses them where that is switched off."""
    return str(value)[:LONGEST_PARAMETER]


def variant_parameters(variant: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a variant differ from others: its steps and their settings.

    The settings of the base model are parameters of its run, which is the parent of the variant's.

    >>> steps = [{"name": "prune_structured", "ratio": 0.5}, {"name": "export"}]
    >>> variant_parameters("half", {"compress.variants.half.steps": steps, "train.epochs": 3})
    {'steps': 'prune_structured > export', 'prune_structured.ratio': 0.5}
    """
    own = f"compress.variants.{variant}."
    steps: list[dict[str, Any]] = params.get(f"{own}steps") or []
    return {
        "steps": " > ".join(step["name"] for step in steps),
        **dict(_step_settings(steps)),
        **{
            key.removeprefix(own): value
            for key, value in params.items()
            if key.startswith("compress.") and (key.startswith(own) or ".variants." not in key)
            if key != f"{own}steps"
        },
    }


def _step_settings(steps: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """(step.setting, value); the second step of a kind is ``finetune_2``."""
    seen: dict[str, int] = {}
    for step in steps:
        name = step["name"]
        seen[name] = seen.get(name, 0) + 1
        label = name if seen[name] == 1 else f"{name}_{seen[name]}"
        yield from flatten({key: value for key, value in step.items() if key != "name"}, f"{label}.")


def cut(text: str) -> str:
    """Text that fits into a tag."""
    return text if len(text) <= LONGEST_TAG else f"{text[: LONGEST_TAG - 1]}…"


def _outputs(result: JournalEntry) -> str:
    """The hashes of the output files; too many are left out, because the digest of all is a tag too."""
    text = json.dumps({path: digest[:16] for path, digest in sorted(result.outputs.items())})
    return text if len(text) <= LONGEST_TAG else "{}"


def _read(tag: str | None) -> dict[str, Any]:
    """The JSON object in a tag; empty if there is none."""
    try:
        content = json.loads(tag or "{}")
    except ValueError:  # cut to fit
        return {}
    return content if isinstance(content, dict) else {}
