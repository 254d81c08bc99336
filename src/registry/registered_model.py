"""One registered model as MLflow has it: versions, tags, aliases and the history of its champions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from src.tracking.mlflow_store import MlflowStore

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

HISTORY = "champion.history"  # tag of the model: versions, oldest first; a rollback shortens it
CHOSEN = "champion.chosen"  # tag of the model: the version that a person promoted last
LONGEST_HISTORY = 500  # versions


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        aliases = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"{self.name} version {self.version}{aliases}"


class RegisteredModelView:
    """One registered model. Hold `registry_lock` to change it."""

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
        """The registered model with its aliases and tags; None if it does not exist."""
        from mlflow.exceptions import MlflowException

        if self._model is None:
            try:
                self._model = self.store.client.get_registered_model(self.name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        return self._model

    def create(self) -> None:
        """Create the registered model if it does not exist."""
        from mlflow.exceptions import MlflowException

        try:
            self.store.client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def holder(self, alias: str) -> "ModelVersion | None":
        """The version with an alias."""
        model = self.model()
        number = str(model.aliases.get(alias)) if model else None
        return next((v for v in self.all if str(v.version) == number), None)

    def tag(self, key: str) -> str:
        """A tag of the registered model, "" if it is missing."""
        model = self.model()
        return str(model.tags.get(key, "")) if model else ""

    def history(self) -> list[str]:
        """The versions that were champion and still exist, the present one last."""
        existing = {str(version.version) for version in self.all}
        past = [version for version in self.tag(HISTORY).split(",") if version in existing]
        holder = self.holder("champion")
        if holder is None or past[-1:] == [str(holder.version)]:
            return past
        return [*past, str(holder.version)]  # somebody moved the alias on MLflow's pages

    def former_champions(self) -> "list[ModelVersion]":
        """The versions that were champion before the present one, from the last that a person promoted on.

        A person may accept a loss on purpose; the champions before are then no longer the standard.
        """
        history = self.history()
        if (chosen := self.tag(CHOSEN)) in history:
            history = history[len(history) - 1 - history[::-1].index(chosen) :]
        former = set(history) - set(history[-1:])
        return [version for version in self.all if str(version.version) in former]

    def move_alias(self, version: "ModelVersion", alias: str, time: str, by: str = "rule") -> bool:
        """Give a version an alias, unless this was done or a later decision holds; returns whether it did.

        Args:
            version: The version.
            alias: champion or challenger.
            time: When it was decided.
            by: rule, person or rollback.
        """
        mark = f"{alias}.time"
        if self.tag(mark) >= time:
            return False
        history = _next_history(self.history(), str(version.version), by)
        self.store.client.set_registered_model_alias(self.name, alias, version.version)
        if alias == "champion":
            self._set_tag(HISTORY, ",".join(history[-LONGEST_HISTORY:]))
            if by == "person":
                self._set_tag(CHOSEN, str(version.version))
        self._set_tag(mark, time)  # last: what a kill interrupts is repeated
        return True

    def set_version_tags(self, version: "ModelVersion", tags: dict[str, str]) -> None:
        """Set those tags of a version that differ."""
        for key, value in tags.items():
            if version.tags.get(key) != value:
                self.store.client.set_model_version_tag(self.name, version.version, key, value)
        version.tags.update(tags)

    def listed(self, versions: "Iterable[ModelVersion]") -> list[Version]:
        """These versions with their aliases."""
        model = self.model()
        held = [(str(number), alias) for alias, number in sorted(model.aliases.items())] if model else []
        return [
            Version(
                name=self.name,
                version=str(each.version),
                aliases=tuple(alias for number, alias in held if number == str(each.version)),
                tags=dict(each.tags),
            )
            for each in versions
        ]

    def _set_tag(self, key: str, value: str) -> None:
        self.store.client.set_registered_model_tag(self.name, key, value)
        self._model = None


def identity_of(version: "ModelVersion") -> tuple[str | None, str | None]:
    """Lineage and SHA-256, by which the journal identifies a version."""
    return version.tags.get("lineage.id"), version.tags.get("sha256")


def model_id_of(version: "ModelVersion") -> str:
    """The id of the LoggedModel that a version was made of."""
    return str(version.source).removeprefix("models:/")


def _next_history(history: list[str], version: str, by: str) -> list[str]:
    """A rollback goes back to where the version was champion before; everything else is appended."""
    past = list(history)
    while past[-1:] == [version]:
        past.pop()
    if by == "rollback" and version in past:
        return past[: len(past) - past[::-1].index(version)]
    return [*past, version]
