"""MLflow's registry follows what the journal says was decided (``src.registry.decisions``).

Carrying a decision out twice changes nothing, and a later one holds against an earlier one, whoever made it:
the registered model has, for each alias, a tag with the time of the decision that moved it last. So what
people moved by hand in MLflow's pages stays until the next decision, and of several machines with journals of
their own the last to decide prevails.

Only a champion on the same server can be asked whether a challenger is worse. So a challenge is ruled on when
MLflow answers, now or in a later ``python -m src.track``, by one rule (`_rule`), and the ruling is written
down: from then on it is repeated, not made anew, also for a view that is rebuilt.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from src.attestation import signing
from src.registry import promotion
from src.registry.archive import find_archived
from src.registry.decisions import Challenge, Decision, Registration, Ruling, append_decisions, decisions
from src.tracking import circuit_breaker
from src.tracking.circuit_breaker import warn
from src.tracking.mlflow_store import MlflowStore, connect
from src.tracking.run_groups import JournalIndex
from src.tracking.run_sync import sync_run

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from src.registry.promotion import PromotionDecision

HISTORY = "champion.history"  # tag of the model: versions, oldest first; a rollback cuts it
LONGEST_HISTORY = 500  # versions
LOCK_WAIT = 120  # seconds for another process that registers


@dataclass(frozen=True)
class Version:
    """A version of a registered model that the journal speaks of."""

    name: str
    version: str
    aliases: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} version {self.version}" + (
            f" ({', '.join(self.aliases)})" if self.aliases else ""
        )


class RegisteredModelView:
    """One registered model as MLflow has it. Used under `registry_lock`, or only to look."""

    def __init__(self, store: MlflowStore, name: str) -> None:
        self.store = store
        self.name = name
        found = store.client.search_model_versions(f"name = '{name}'")
        self.all = sorted(found, key=lambda version: int(version.version))
        self._model: RegisteredModel | None = None

    def find(self, identity: tuple[str | None, str | None]) -> "ModelVersion | None":
        """The version of a lineage and a SHA-256."""
        return next((v for v in self.all if identity_of(v) == identity), None)

    def model(self) -> "RegisteredModel | None":
        """The registered model with its aliases and tags; None if there is none."""
        from mlflow.exceptions import MlflowException

        if self._model is None:
            try:
                self._model = self.store.client.get_registered_model(self.name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        return self._model

    def holder(self, alias: str) -> "ModelVersion | None":
        """The version that bears an alias."""
        model = self.model()
        number = str(model.aliases.get(alias)) if model else None
        return next((v for v in self.all if str(v.version) == number), None)

    def tag(self, key: str) -> str:
        """A tag of the registered model, "" if it has none."""
        model = self.model()
        return str(model.tags.get(key, "")) if model else ""

    def set_tag(self, key: str, value: str) -> None:
        self.store.client.set_registered_model_tag(self.name, key, value)
        self._model = None

    def set_alias(self, alias: str, version: "ModelVersion") -> None:
        self.store.client.set_registered_model_alias(self.name, alias, version.version)
        self._model = None

    def history(self) -> list[str]:
        """The versions that were champion, the present one last."""
        past = [version for version in self.tag(HISTORY).split(",") if version]
        holder = self.holder("champion")
        if holder is None or past[-1:] == [str(holder.version)]:
            return past
        return [*past, str(holder.version)]  # somebody has moved the alias in MLflow's pages

    def mark(self, version: "ModelVersion", tags: dict[str, str]) -> None:
        """Set those tags of a version that differ."""
        for key, value in tags.items():
            if version.tags.get(key) != value:
                self.store.client.set_model_version_tag(self.name, version.version, key, value)
        version.tags.update(tags)

    def listed(self, versions: "Iterable[ModelVersion]") -> list[Version]:
        """These versions with their aliases."""
        model = self.model()
        bearers = [(str(number), alias) for alias, number in sorted(model.aliases.items())] if model else []
        numbers = [str(version.version) for version in versions]
        return [Version(self.name, n, tuple(alias for v, alias in bearers if v == n)) for n in numbers]


def identity_of(version: "ModelVersion") -> tuple[str | None, str | None]:
    """Lineage and SHA-256, by which a version is known to the journal."""
    return version.tags.get("lineage.id"), version.tags.get("sha256")


def apply_decisions(store: MlflowStore, journal: JournalIndex, name: str | None = None) -> list[Version]:
    """Do what was decided and is not yet done, for one registered model or for all.

    Returns the versions that the journal speaks of, those that were there before too.
    """
    with registry_lock(store.root):
        found: dict[str, list[Decision]] = {}
        for decision in decisions(store.root, name):
            found.setdefault(decision.name, []).append(decision)
        return [v for model, those in found.items() for v in _carry_out(store, journal, model, those)]


@contextmanager
def registry_lock(root: Path) -> Iterator[None]:
    """One process of this machine at a time decides and does."""
    (root / "mlruns").mkdir(parents=True, exist_ok=True)
    with FileLock(root / "mlruns" / "registry.lock", timeout=LOCK_WAIT):
        yield


def _carry_out(store: MlflowStore, journal: JournalIndex, name: str, those: list[Decision]) -> list[Version]:
    shelf = RegisteredModelView(store, name)
    last = {d.identity: d for d in those if isinstance(d, Registration)}  # in the order of the first
    for registration in last.values():
        _register(shelf, journal, registration)
    ruled = {d.challenge for d in those if isinstance(d, Ruling) and d.embedded == store.embedded}
    for decision in those:
        if isinstance(decision, Challenge):
            _answer(shelf, decision, ruled)
        elif isinstance(decision, Ruling):
            apply_ruling(shelf, decision)
    return shelf.listed(version for identity in last if (version := shelf.find(identity)))


def _register(shelf: RegisteredModelView, journal: JournalIndex, registration: Registration) -> None:
    """Make the version, or give the one that there is the newest figures."""
    version = shelf.find(registration.identity) or _create(shelf, journal, registration)
    if version is None:
        return
    _keep_evidence(shelf, version, registration)
    _keep_provenance(shelf, version, registration)
    if version.tags.get("registered", "") >= registration.time:
        return
    if (version.description or "") != registration.description:
        shelf.store.client.update_model_version(shelf.name, version.version, registration.description)
    shelf.mark(version, _tags(registration))


def _tags(registration: Registration) -> dict[str, str]:
    own = {"lineage.id": registration.lineage, "sha256": registration.sha256, "variant": registration.variant}
    return {**registration.tags, **own, "registered": registration.time}


def _create(
    shelf: RegisteredModelView, journal: JournalIndex, registration: Registration
) -> "ModelVersion | None":
    """None if MLflow does not have the model and cannot get it from the journal."""
    store = shelf.store
    sync_run(store, journal, registration.lineage)
    runs = store.find_runs(store.experiment_id(registration.experiment), registration.lineage)
    run = next((run for run in runs if run.data.tags.get("model.sha256") == registration.sha256), None)
    if run is None:
        return None
    model = run.data.tags["model.id"]
    _log_record(shelf, model, registration)
    _create_model(shelf)
    version: ModelVersion = store.client.create_model_version(
        shelf.name,
        f"models:/{model}",
        run.info.run_id,
        tags={**_tags(registration), "record": registration.record},
        description=registration.description,
        model_id=model,
    )
    shelf.all.append(version)
    return version


def _create_model(shelf: RegisteredModelView) -> None:
    from mlflow.exceptions import MlflowException

    try:
        shelf.store.client.create_registered_model(shelf.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _keep_evidence(shelf: RegisteredModelView, version: "ModelVersion", registration: Registration) -> None:
    """Put what the version is judged by beside the model, where other machines find it; once, as it is a
    function of the lineage."""
    folder = None if version.tags.get("evidence") else find_archived(shelf.store.root, registration.evidence)
    if folder is None:
        return
    shelf.store.client.log_model_artifacts(_model_id(version), str(folder), "evidence")
    shelf.mark(version, {"evidence": registration.evidence})


def _keep_provenance(shelf: RegisteredModelView, version: "ModelVersion", registration: Registration) -> None:
    """Put the statement on where it comes from beside the model; a signed one is not replaced by another."""
    folder = find_archived(shelf.store.root, registration.provenance)
    if folder is None or version.tags.get("provenance.signed") == "yes":
        return
    signed = "yes" if (folder / signing.FILE).is_file() else "no"
    if version.tags.get("provenance.signed") == signed:
        return
    if version.tags.get("record") != registration.record:  # the statement speaks of this one
        _log_record(shelf, _model_id(version), registration)
    shelf.store.client.log_model_artifacts(_model_id(version), str(folder), "provenance")
    told = {"provenance": folder.name, "provenance.signed": signed, "record": registration.record}
    shelf.mark(version, told)


def _log_record(shelf: RegisteredModelView, model: str, registration: Registration) -> None:
    """Put what the model was made from beside it."""
    record = find_archived(shelf.store.root, registration.record)
    if record is not None:
        shelf.store.client.log_model_artifacts(model, str(record), f"record/{registration.record}")


def _answer(shelf: RegisteredModelView, challenge: Challenge, ruled: set[str | None]) -> None:
    """Give the choice its alias, and rule on it unless that was done."""
    version = shelf.find((challenge.lineage, challenge.sha256)) if challenge.lineage else None
    if version is None:
        return
    if _move(shelf, version, "challenger", challenge.time):
        shelf.mark(version, {"challenger.reason": challenge.reason})
    if challenge.time in ruled:
        return
    judgement = _rule(shelf, challenge, version)
    ruling = Ruling(
        name=shelf.name,
        lineage=str(challenge.lineage),
        sha256=str(challenge.sha256),
        champion=judgement.promoted,
        reason=judgement.reason,
        by="rule",
        embedded=shelf.store.embedded,
        challenge=challenge.time,
    )
    append_decisions(shelf.store.root, ruling)
    apply_ruling(shelf, ruling)


def _rule(shelf: RegisteredModelView, challenge: Challenge, version: "ModelVersion") -> "PromotionDecision":
    """The rule of promotion. Whoever cannot be compared with the champion does not take its place."""
    forbidden = _forbidden(challenge, shelf.store.embedded)
    if forbidden:
        return promotion.PromotionDecision(False, forbidden)
    champion = shelf.holder("champion")
    if champion is None:
        return promotion.PromotionDecision(True, "there was no champion")
    if champion.version == version.version:
        return promotion.PromotionDecision(True, "it is the champion already")
    if shelf.tag("champion.time") > challenge.time:
        later = f"version {champion.version} was made champion after this was decided"
        return promotion.PromotionDecision(False, later)
    evidence = {v.version: _evidence(shelf, v) for v in (champion, version)}
    for number, found in evidence.items():
        if found is None:
            missing = f"version {number} keeps no record of its answers for validation images"
            return promotion.PromotionDecision(False, f"not comparable with the champion: {missing}")
    before, after = evidence[champion.version], evidence[version.version]
    assert before is not None and after is not None
    judgement = promotion.judge(before, after, challenge.level)
    return promotion.PromotionDecision(
        judgement.promoted, f"against version {champion.version}: {judgement.reason}"
    )


def _forbidden(challenge: Challenge, embedded: bool) -> str | None:
    """Why nothing is promoted here by itself; None if it may be."""
    manually = 'a person may: python -m src.register --promote VERSION --reason "…"'
    if challenge.promote == "never":
        return f"register.promote is never; {manually}"
    if challenge.promote == "embedded" and not embedded:
        return f"this is a team's server, and register.promote is embedded, not auto; {manually}"
    return None


def _evidence(shelf: RegisteredModelView, version: "ModelVersion") -> "promotion.ValidationEvidence | None":
    """What a version is judged by, from the journal or from MLflow; None if it keeps nothing to be read."""
    name = version.tags.get("evidence", "")
    folder = find_archived(shelf.store.root, name)
    if folder is not None:
        return _read(folder)
    if not name or not shelf.store.client.list_logged_model_artifacts(_model_id(version), "evidence"):
        return None
    from mlflow.artifacts import download_artifacts

    location = shelf.store.client.get_logged_model(_model_id(version)).artifact_location
    with tempfile.TemporaryDirectory() as place:
        return _read(Path(download_artifacts(f"{location}/evidence", dst_path=place)))


def _read(folder: Path) -> "promotion.ValidationEvidence | None":
    try:
        return promotion.load(folder)
    except (OSError, ValueError):
        return None


def apply_ruling(shelf: RegisteredModelView, ruling: Ruling) -> None:
    """Do what a ruling says, if it was made for this kind of registry and no later one holds."""
    version = shelf.find((ruling.lineage, ruling.sha256))
    if version is None or ruling.embedded != shelf.store.embedded:
        return
    if version.tags.get("promotion.time", "") < ruling.time:
        shelf.mark(version, _marks(ruling))
    if ruling.champion:
        _move(shelf, version, "champion", ruling.since, ruling.by)


def _marks(ruling: Ruling) -> dict[str, str]:
    return {
        "promotion.result": "champion" if ruling.champion else "not promoted",
        "promotion.reason": ruling.reason,
        "promotion.by": ruling.by,
        "promotion.time": ruling.time,
    }


def _move(
    shelf: RegisteredModelView, version: "ModelVersion", alias: str, time: str, by: str = "rule"
) -> bool:
    """Give the version an alias, unless that was done, or a later decision holds; whether it did."""
    mark = f"{alias}.time"
    if shelf.tag(mark) >= time:
        return False
    history = _next_history(shelf.history(), str(version.version), by)
    shelf.set_alias(alias, version)
    if alias == "champion":
        shelf.set_tag(HISTORY, ",".join(history[-LONGEST_HISTORY:]))
    shelf.set_tag(mark, time)  # last: what a kill leaves undone is done again
    return True


def _next_history(history: list[str], version: str, by: str) -> list[str]:
    """A rollback goes back to where the version was champion before; everything else goes on."""
    past = list(history)
    while past[-1:] == [version]:
        past.pop()
    if by == "rollback" and version in past:
        return past[: len(past) - past[::-1].index(version)]
    return [*past, version]


def _model_id(version: "ModelVersion") -> str:
    """Of the LoggedModel that a version was made of."""
    return str(version.source).removeprefix("models:/")


def try_apply_decisions(root: Path, name: str, say: Callable[[str], None] = warn) -> "list[Version] | None":
    """Carry out what was decided on a registered model if MLflow answers; None if not. Never raises."""
    versions: list[Version] | None = circuit_breaker.circuit.call(lambda: _connect_and_apply(root, name), say)
    return versions


def _connect_and_apply(root: Path, name: str) -> "list[Version]":
    return apply_decisions(connect(root), JournalIndex(root), name)
