"""Who says where it comes from, and is it signed?"""

from pathlib import Path

from src.attestation import signing
from src.attestation.statement import FILE, Material, Provenance, read_statement
from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.core.errors import AssayError
from src.core.hashing import content_hash, file_hash
from src.registry.archive import signed_files

QUESTION = "Does a statement name what it was made of, and who vouches for that?"


def check(subject: AuditTarget, see: CheckLog) -> None:
    """The in-toto statement against the record, then its signature."""
    if subject.version is None:
        see.skipped = "only registered versions have a statement"
        return
    path = subject.provenance / FILE if subject.provenance else None
    if path is None or not path.is_file():
        see.skipped = "registered without a statement: unsigned"
        return
    try:
        statement = read_statement(path.read_text(encoding="utf-8"))
    except AssayError as error:
        see.find(FILE, "an in-toto statement", str(error), Verdict.TAMPERED)
        return
    _subject(subject, statement, see)
    for material in statement.materials:
        _material(subject, material, see)
    _signature(subject, path, see)


def _subject(subject: AuditTarget, statement: Provenance, see: CheckLog) -> None:
    assert subject.version is not None
    tags = subject.version.tags
    see.equal("SHA-256 that the statement is about", tags.get("sha256"), statement.sha256, Verdict.TAMPERED)
    see.equal("lineage that it names", tags.get("lineage.id"), statement.lineage, Verdict.TAMPERED)
    see.equal("stage that it names", subject.stage, statement.stage, Verdict.TAMPERED)


def _material(subject: AuditTarget, material: Material, see: CheckLog) -> None:
    """One thing that it was made of, as the record has it."""
    found = _digest(subject, material)
    if found is not None:
        see.equal(
            f"{material.name} of the statement", next(iter(material.digest.values())), found, Verdict.TAMPERED
        )


def _digest(subject: AuditTarget, material: Material) -> str | None:
    """The digest of a material by the record; None if the record cannot tell."""
    if material.name in subject.raw:
        return subject.raw[material.name].removesuffix(".dir")
    if material.name == "record":
        return content_hash(subject.record) if subject.record else None
    path = subject.folder / material.name
    return file_hash(path) if "sha256" in material.digest and path.is_file() else None


def _signature(subject: AuditTarget, statement: Path, see: CheckLog) -> None:
    signature, key = statement.with_name(signing.FILE), subject.public_key
    if not signature.is_file():
        see.note("unsigned")
        return
    if key is None:
        see.note(f"signed, but by whom is not checked: name the public key, --public-key or {signing.PUBLIC}")
        return
    if subject.model is None:
        return
    with signed_files(subject.model, statement.read_text(encoding="utf-8")) as files:
        reason = signing.verify(files, signature, key)
    if reason is None:
        see.agree(f"signed by the key {signing.fingerprint(key)[:16]} ({key.name})")
    else:
        found = f"{signing.FILE} is not of this key, or the files were changed: {reason}"
        see.find(
            "signature", f"of the key {signing.fingerprint(key)[:16]} ({key.name})", found, Verdict.TAMPERED
        )
