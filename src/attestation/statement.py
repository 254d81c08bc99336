"""Who made a model from what: an in-toto statement with a SLSA provenance predicate, in standard form.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and https://slsa.dev/spec/v1.0/provenance
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

from src.core.errors import AssayError

PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:assay:dvc-stage:1"  # how to repeat it: put the record into a folder, dvc repro STAGE
BUILDER = "urn:assay:register:1"  # who says so
SUBJECT = "model.onnx"
FILE = "provenance.json"  # its name beside a registered model


@dataclass(frozen=True)
class Material:
    """Something that the model was made from; ``digest``: {"sha256" | "md5" | "gitCommit": hexadecimal}."""

    name: str
    digest: Mapping[str, str]


@dataclass(frozen=True)
class Provenance:
    """What a statement says."""

    sha256: str  # of the model's file
    stage: str  # DVC's address
    command: str
    lineage: str
    parameters: Mapping[str, Any]  # dotted key -> value
    materials: Sequence[Material]
    started: str = ""  # ISO 8601; "": nothing is known of the execution
    finished: str = ""


def write_statement(provenance: Provenance) -> str:
    """The statement as JSON, the same text for the same content."""
    subject = ResourceDescriptor(name=SUBJECT, digest={"sha256": provenance.sha256})
    statement = Statement([subject.pb], PREDICATE, _predicate(provenance))
    statement.validate()
    content = json_format.MessageToDict(statement.pb)
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_statement(text: str) -> Provenance:
    """What a statement says.

    Raises:
        AssayError: it is no such statement.
    """
    try:
        found = json_format.Parse(text, statement_pb2.Statement())
        Statement.copy_from_pb(found).validate()
        if found.predicate_type != PREDICATE:
            raise ValueError(f"its predicate is {found.predicate_type}, and not {PREDICATE}")
        predicate = json_format.MessageToDict(found.predicate)
        built, told = predicate["buildDefinition"], predicate["runDetails"]["metadata"]
        return Provenance(
            sha256=found.subject[0].digest["sha256"],
            stage=built["externalParameters"]["stage"],
            command=built["externalParameters"]["command"],
            lineage=told["invocationId"],
            parameters=built["externalParameters"]["parameters"],
            materials=[Material(m["name"], m["digest"]) for m in built["resolvedDependencies"]],
            started=told.get("startedOn", ""),
            finished=told.get("finishedOn", ""),
        )
    except (json_format.ParseError, ValueError, KeyError, TypeError) as error:
        raise AssayError(f"{FILE} is no provenance statement: {error}") from error


def _predicate(provenance: Provenance) -> dict[str, Any]:
    metadata = {
        "invocationId": provenance.lineage,
        "startedOn": provenance.started,
        "finishedOn": provenance.finished,
    }
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "command": provenance.command,
                "stage": provenance.stage,
                "parameters": dict(provenance.parameters),
            },
            "resolvedDependencies": [
                {"name": material.name, "digest": dict(material.digest)} for material in provenance.materials
            ],
        },
        "runDetails": {
            "builder": {"id": BUILDER},
            "metadata": {key: value for key, value in metadata.items() if value},
        },
    }
