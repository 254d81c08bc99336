"""Are the records in git all here, and do they say what the results say?"""

from collections.abc import Iterator

from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.core.hashing import hash_tree
from src.core.wording import listed
from src.records.execution import metadata
from src.records.files import FOLDER, Record, Records, is_unchanged, read_records
from src.records.links import MissingRecord, built_on, how_to_restore, missing_records

QUESTION = "Are the records in git all here, and the outputs those that they name?"


SHOWN = 3


def check(subject: AuditTarget, see: CheckLog) -> None:
    """Follow the links from the records of what is audited, then compare the outputs with them."""
    records = read_records(subject.root)
    if not (records.found or records.refused):
        see.skipped = f"{FOLDER} is empty"
        return
    for reason in records.refused:
        path, _, why = reason.partition(": ")
        verdict = Verdict.INCOMPLETE if is_unchanged(subject.root / path) else Verdict.TAMPERED
        see.find(path, "a record that can be read", why, verdict)
    _links(subject, records, see)
    _outputs(subject, records, see)


def of_stages(subject: AuditTarget, records: Records) -> list[Record]:
    """The executions of the stages behind the model, with the same inputs and parameters."""
    lineages = set(subject.lineages.values())
    return [record for record in records.executions if metadata(record)["invocationId"] in lineages]


def _links(subject: AuditTarget, records: Records, see: CheckLog) -> None:
    """Of a workspace, of all records: what is missing anywhere is missing here."""
    concerned = list(built_on(records, [*of_stages(subject, records), *_decisions(subject, records)]))
    missing = missing_records(subject.root, records, None if subject.is_workspace else concerned)
    for each in missing:
        found = f"missing, or another one: {each.consequence}. {how_to_restore(subject.root, each.path)}"
        see.find(each.path, f"the record that {_who(each)} names", found, Verdict.INCOMPLETE)
    if not concerned:
        see.note("no record is of these stages")
    elif not missing:
        see.agree(f"{len(concerned)} records, and each that one of them names is here")


def _who(missing: MissingRecord) -> str:
    names = [record.name for record in missing.named_by]
    return listed(names, SHOWN) or "the last commit"


def _decisions(subject: AuditTarget, records: Records) -> Iterator[Record]:
    if subject.version is not None:
        name = subject.version.name
        yield from (r for r in records.decisions if r.predicate["decision"].get("name") == name)


def _outputs(subject: AuditTarget, records: Records, see: CheckLog) -> None:
    """What each stage has written, against the records of the executions that could have written it."""
    compared = 0
    for name, lineage in subject.lineages.items():
        (folder,) = subject.lock[name].outputs
        told = [
            {path: digest["sha256"] for path, digest in record.subjects.items()}
            for record in records.executions
            if metadata(record)["invocationId"] == lineage
        ]
        if not told or not (subject.folder / folder).exists():
            continue
        compared += 1
        found = hash_tree((subject.folder / folder).resolve())
        ours = {f"{folder}/{path}": sha256 for path, sha256 in found.items()}
        if ours not in told:
            changed = sorted(
                path for path in ours.keys() | told[-1].keys() if ours.get(path) != told[-1].get(path)
            )
            see.find(
                ", ".join(changed[:5]), f"as a record of {name} names it", "other bytes", Verdict.TAMPERED
            )
    see.agree(f"{compared} outputs compared with the records of their stages")
