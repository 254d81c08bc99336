"""The record of one execution: an in-toto statement with SLSA provenance, and back to the journal's form.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and https://slsa.dev/spec/v1.0/provenance

The names of host and process stay in the journal of the machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from src.core.hashing import file_hash
from src.provenance.dvc_lock import listing_md5
from src.provenance.journal import RunRecord, attempts, child_record
from src.records.files import EXECUTION, EXTENSION, FORMAT, STATEMENT, Record

BUILD_TYPE = "urn:assay:dvc-stage:1"  # how to repeat it: dvc repro STAGE at the commit
BUILDER = "urn:assay:stage:1"
HISTORY = "history.csv"  # an output of the stages that train
# Fields of the journal that MLflow's view needs and the standard form has no place for.
VIEW = (
    *("name", "parents", "subject", "user", "git", "dvc_experiment", "experiment", "seed", "data"),
    *("numerics", "metrics", "tags"),
)
CHILD = (
    *("stage", "name", "lineage", "numerics", "metrics", "tags", "outputs"),
    *("status", "reason", "started", "ended"),
)


def execution_statement(
    attempt: RunRecord,
    subjects: Mapping[str, Mapping[str, str]],
    place: Path,
    materials: Sequence[Mapping[str, Any]],
    children: Sequence[Mapping[str, Any]],
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """What a successful attempt made, and from what.

    Args:
        attempt: In the journal, with its end.
        subjects: {path in the repository: {algorithm: digest}} of each output file.
        place: The output folder, relative to the repository.
        materials: in-toto resource descriptors of the inputs, and of the records that made them.
        children: The journal's records of its trials or folds.
        environment: Of the process.
    """
    record = attempt.record
    found = {digest["sha256"]: path for path, digest in subjects.items()}
    extension = {
        "format": FORMAT,
        "attempt": attempt.key,
        "place": place.as_posix(),
        **{key: record.get(key) for key in VIEW},
        "environment": environment,
        "figures": _outputs(attempt.folder, record["figures"], found),
        "model": bool(record["model"]),
        "history": bool(attempt.history),
        "attached": {
            subject: {**content, "figures": _outputs(attempt.folder, content["figures"], found)}
            for subject, content in (record.get("attached") or {}).items()
        },
        "children": [_child(child, record) for child in children],
    }
    return {
        "_type": STATEMENT,
        "subject": [{"name": path, "digest": dict(digest)} for path, digest in sorted(subjects.items())],
        "predicateType": EXECUTION,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "stage": record["address"],
                    "command": record["command"],
                    "parameters": record["params"],
                },
                "resolvedDependencies": [dict(material) for material in materials],
            },
            "runDetails": {
                "builder": {"id": BUILDER},
                "metadata": {
                    "invocationId": record["lineage"],
                    "startedOn": record["started"],
                    "finishedOn": record["ended"],
                },
            },
            EXTENSION: extension,
        },
    }


def journal_record(record: Record) -> dict[str, Any]:
    """The journal entry of the execution on another machine, still without figures and model."""
    built, told = record.predicate["buildDefinition"]["externalParameters"], metadata(record)
    stage, _, variant = built["stage"].partition("@")
    place = f"{record.extension['place']}/"
    return {
        "stage": stage,
        "variant": variant or None,
        "address": built["stage"],
        "command": built["command"],
        "params": built["parameters"],
        "ad_hoc": False,
        "lineage": told["invocationId"],
        **{key: record.extension[key] for key in VIEW},
        "process": {"pid": None, "host": None, "started": None},
        "record": record.name,
        "outputs": {path.removeprefix(place): d["sha256"] for path, d in record.subjects.items()},
        "attached": {},
        "figures": [],
        "model": None,
        "status": "FINISHED",
        "started": told["startedOn"],
        "ended": told["finishedOn"],
    }


def child_records(record: Record, parent: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the journal says of the trials or folds; ``parent`` is the journal's record of their stage."""
    for child in record.extension["children"]:
        params = {**(parent["params"] if child["inherits"] else {}), **child["params"]}
        made = child_record(parent, child["stage"], child["name"], child["lineage"], params, child["tags"])
        place = {key: parent[key] for key in ("process", "record")}
        yield {**made, **{key: child.get(key) for key in CHILD}, **place}


def claims(record: Record) -> dict[str, Mapping[str, float]]:
    """{lineage of a run: metrics that the execution says it has}."""
    own = {record.extension["subject"]: record.extension["metrics"]}
    return own | {subject: content["metrics"] for subject, content in record.extension["attached"].items()}


def metadata(record: Record) -> Mapping[str, str]:
    """Lineage, start and end."""
    found: Mapping[str, str] = record.predicate["runDetails"]["metadata"]
    return found


def makers(records: Sequence[Record], inputs: Mapping[str, str]) -> list[Record]:
    """The newest execution that made each of these inputs: {path: MD5 as DVC computes it}."""
    chosen: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: (metadata(r)["finishedOn"], r.name)):
        for path, md5 in inputs.items():
            if _made(record, path, md5):
                chosen[path] = record
    return list({record.name: record for _, record in sorted(chosen.items())}.values())


def ended_children(root: Path, parent: str) -> list[dict[str, Any]]:
    """The last record of each trial or fold of the lineage ``parent`` that has ended, by name."""
    known = (attempt.record for attempt in attempts(root))
    last = {r["lineage"]: r for r in known if r.get("parent") == parent and "ended" in r}
    return sorted(last.values(), key=lambda record: str(record["name"]))


def _made(record: Record, path: str, md5: str) -> bool:
    subjects = record.subjects
    if path in subjects:
        return subjects[path].get("md5") == md5
    below = {
        name.removeprefix(f"{path}/"): digest
        for name, digest in subjects.items()
        if name.startswith(f"{path}/")
    }
    return bool(below) and listing_md5({name: d.get("md5", "") for name, d in below.items()}) == md5


def _outputs(folder: Path, copies: Sequence[str], found: Mapping[str, str]) -> list[str]:
    """The output files of which the journal keeps these copies."""
    hashes = [file_hash(folder / copy) for copy in copies]
    return [found[sha256] for sha256 in hashes if sha256 in found]


def _child(child: Mapping[str, Any], parent: Mapping[str, Any]) -> dict[str, Any]:
    """A trial or fold in short: of the parameters of a fold, those that are not its stage's."""
    inherits = parent["params"].keys() <= child["params"].keys()
    own = {
        key: value
        for key, value in child["params"].items()
        if not (inherits and parent["params"].get(key, ...) == value)
    }
    return {**{key: child.get(key) for key in CHILD}, "params": own, "inherits": inherits}
