"""Makes one MLflow run show what the journal has of its attempts."""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.hashing import json_hash
from src.core.metric_names import CURVE
from src.tracking import logged_model
from src.tracking.journal_entry import JournalEntry, metrics_of, milliseconds
from src.tracking.mlflow_store import MlflowStore
from src.tracking.run_groups import RunGroup
from src.tracking.run_tags import (
    STATE,
    attachment_tags,
    difference,
    parameter_text,
    parameters_of,
    shows_attachment,
    tags_of,
)

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run, RunTag

LIMITS = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's, of one batch
TOTAL = 1000  # of all three in one batch
DIGEST = 36  # characters of a data set's digest that MLflow takes; the tag data.digest has all


@dataclass
class RunWriter:
    """Makes one run show its group; each method adds what is missing."""

    store: MlflowStore
    group: RunGroup
    run: "Run"
    first: "Run | None" = None  # of the same lineage, with another result
    parent: "Run | None" = None  # of the model that this one was made from

    def show(self) -> None:
        """Everything, in few calls; the tag that marks the run as complete comes last."""
        self._log(self.curves(), self.parameters(), self.tags())
        self.write_data()
        model = self.write_model()
        metrics = self._show_results(self.group.head, model)
        tags: dict[str, str] = {}
        for entry in self.group.attachments:
            more, marks = self._show_attachment(entry, model)
            metrics, tags = metrics + more, tags | marks
        self.write_status()
        self._log(metrics, [], {**tags, STATE: self.group.digest})

    @property
    def id(self) -> str:
        return str(self.run.info.run_id)

    def tags(self) -> dict[str, str]:
        """All tags; those that no longer hold become empty."""
        stale = {key: "" for key in ("status.reason",) if key in self.run.data.tags}
        second = self.first is not None and self.group.result is not None
        return stale | tags_of(self.group, self.parent) | (self._difference() if second else {})

    def parameters(self) -> list["Param"]:
        """Those that the run lacks."""
        from mlflow.entities import Param

        known, own = self.run.data.params, parameters_of(self.group.head.record)
        return [
            Param(key, parameter_text(value))
            for name, value in own.items()
            if (key := valid_key(name)) not in known
        ]

    def curves(self) -> list["Metric"]:
        """Points that exist already have the same time and value, and MLflow keeps them once."""
        return [metric for row in self.group.history() for metric in points(row)]

    def write_data(self) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = self.group.head.record["data"]
        if self.run.inputs is None or self.run.inputs.dataset_inputs or not data.get("digest"):
            return
        source = json.dumps({"uri": data["source"]})
        profile = json.dumps({"num_rows": data["images"]}) if "images" in data else None
        dataset = Dataset(data["name"], data["digest"][:DIGEST], "local", source, profile=profile)
        context = InputTag("mlflow.data.context", "training")
        self.store.client.log_inputs(self.id, [DatasetInput(dataset, [context])])

    def write_model(self) -> str | None:
        """Log the run's model, unless it is there; returns the id of its LoggedModel.

        A network of torch has none: its files are artifacts of the run.
        """
        model = logged_model.find_model(self.group.head) if self.group.result else None
        if model is None:
            return None
        known = self.run.data.tags
        if known.get("model.sha256") == model.sha256:
            return known.get("model.id")
        tags = {"model.sha256": model.sha256}
        if model.is_served:
            tags["model.id"] = self._log_model(model)
        else:
            for path in (model.weights, model.spec):
                self.store.client.log_artifact(self.id, str(path), "model")
        self._log([], [], tags)
        return tags.get("model.id")

    def attach(self, entry: JournalEntry) -> None:
        """What another stage found out about this run's model; replaces what that stage attached before."""
        metrics, tags = self._show_attachment(entry, self.run.data.tags.get("model.id"))
        self._log(metrics, [], tags)

    def has(self, entry: JournalEntry) -> bool:
        """Whether the run shows this attachment already, whichever machine brought it."""
        return shows_attachment(self.run.data.tags, entry)

    def write_status(self) -> None:
        head = self.group.head
        if head.status == "RUNNING":
            self.store.client.update_run(self.id, status="RUNNING")
        else:
            self.store.client.set_terminated(self.id, head.status, head.ended)

    def _show_attachment(
        self, entry: JournalEntry, model: str | None
    ) -> tuple[list["Metric"], dict[str, str]]:
        """Log the figures of a stage that attaches to this run; returns the metrics and tags that follow."""
        known, result = self.run.data.tags, entry.status == "FINISHED"
        metrics = self._show_results(entry, model or known.get("model.id")) if result else []
        return metrics, {key: tag for key, tag in attachment_tags(entry).items() if tag or known.get(key)}

    def _show_results(self, entry: JournalEntry, model: str | None) -> list["Metric"]:
        """Log the figures of one stage, in a folder named after it; returns the metrics that follow."""
        for name in entry.record.get("figures") or []:
            self.store.client.log_artifact(self.id, str(entry.folder / name), entry.stage)
        data = entry.record["data"]
        link = {"model_id": model} if model else {}
        if data.get("digest"):
            link |= {"dataset_name": data["name"], "dataset_digest": data["digest"][:DIGEST]}
        return self.metrics(entry, link)

    def metrics(self, entry: JournalEntry, link: dict[str, str]) -> list["Metric"]:
        """Those of a record that the run lacks, linked to a model and a data set."""
        from mlflow.entities import Metric

        known, own = self.run.data.metrics, entry.record["metrics"] or {}
        return [
            Metric(key, float(value), entry.ended, 0, **link)
            for name, value in own.items()
            if value is not None and known.get(key := valid_key(name)) != value
        ]

    def _log_model(self, files: logged_model.ModelFiles) -> str:
        from mlflow.entities import LoggedModelOutput

        client, record = self.store.client, self.group.head.record
        tags = {"lineage.id": record["lineage"], "model.sha256": files.sha256}
        model = client.create_logged_model(
            self.run.info.experiment_id, record["variant"], self.id, tags, model_type="pyfunc"
        )
        identity = {"artifact_path": model.artifact_location, "model_uuid": model.model_id}
        identity |= {"model_id": model.model_id, "run_id": self.id}
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "model")
            logged_model.save(folder, files, self.store.root, identity)
            client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
        client.log_outputs(self.id, [LoggedModelOutput(model.model_id, 0)])
        return str(model.model_id)

    def _difference(self) -> dict[str, str]:
        assert self.first is not None
        return difference(self.first, self.group)

    def _log(self, metrics: list["Metric"], params: list["Param"], tags: dict[str, str]) -> None:
        """Log what the run lacks. MLflow writes the tags of a call last."""
        from mlflow.entities import RunTag

        known = self.run.data.tags
        changed = [RunTag(key, value) for key, value in tags.items() if known.get(key) != value]
        for batch in combined_batches(metrics, params, changed):
            self.store.client.log_batch(self.id, *batch)
        known |= tags


@dataclass
class ChildRunWriter(RunWriter):
    """A trial or a fold: no model and no data set of its own, and few calls, as there may be thousands."""

    best: bool = False  # the search names it as its best

    def show(self) -> None:
        """Everything in two calls; the mark comes last here too."""
        self.write_status()
        metrics = [*self.curves(), *self.metrics(self.group.head, {})]
        self._log(metrics, self.parameters(), {**self.tags(), STATE: self.state})

    @property
    def state(self) -> str:
        """What the run shows when it is complete: the attempts, its parent and the mark."""
        return child_state(self.group, self.parent, self.best)

    def tags(self) -> dict[str, str]:
        lost = {"best": ""} if "best" in self.run.data.tags else {}
        return super().tags() | lost | best_tag(self.best)

    def write_status(self) -> None:
        head, info = self.group.head, self.run.info
        if head.status != info.status or (head.status != "RUNNING" and head.ended != info.end_time):
            super().write_status()


def child_state(group: RunGroup, parent: "Run | None", best: bool) -> str:
    """Changes whenever the run of a trial or fold has to be refreshed."""
    return json_hash([group.digest, parent.info.run_id if parent else None, best])


def best_tag(best: bool) -> dict[str, str]:
    """The mark of the best trial."""
    return {"best": "true"} if best else {}


def points(row: dict[str, Any]) -> list["Metric"]:
    """An epoch's metrics as points of MLflow's curves."""
    from mlflow.entities import Metric

    time, epoch = milliseconds(row["time"]), int(row["epoch"])
    return [Metric(CURVE + valid_key(name), value, time, epoch) for name, value in metrics_of(row).items()]


def valid_key(name: str) -> str:
    """A name as MLflow takes it: that of a class, in ``val/recall/CLASS``, may have any character.

    >>> valid_key("val/recall/dog (brown)")
    'val/recall/dog _brown_'
    """
    return re.sub(r"[^/\w.\- ]", "_", name)


def batches(kind: str, items: list[Any]) -> list[list[Any]]:
    """Split what goes into one call by MLflow's limits."""
    size = LIMITS[kind]
    return [items[at : at + size] for at in range(0, len(items), size)]


def combined_batches(
    metrics: list["Metric"], params: list["Param"], tags: list["RunTag"]
) -> list[tuple[list["Metric"], list["Param"], list["RunTag"]]]:
    """What to log in as few calls as MLflow's limits allow, tags last; none if there is nothing to log."""
    sizes = {"metrics": len(metrics), "params": len(params), "tags": len(tags)}
    if not any(sizes.values()):
        return []
    if sum(sizes.values()) <= TOTAL and all(size <= LIMITS[kind] for kind, size in sizes.items()):
        return [(metrics, params, tags)]
    return [
        *((batch, [], []) for batch in batches("metrics", metrics)),
        *(([], batch, []) for batch in batches("params", params)),
        *(([], [], batch) for batch in batches("tags", tags)),
    ]
