"""One MLflow run, brought to show what the journal says of its attempts."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.hashing import json_hash
from src.tracking import logged_model
from src.tracking.mlflow_store import PARENT, MlflowStore
from src.tracking.run_groups import JournalEntry, JournalIndex, RunGroup, metrics_of, milliseconds

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run, RunTag

STATE = "assay.state"  # tag: digest of the journal that the run shows
ATTEMPTS = "assay.attempts"  # tag: keys of the attempts that the run shows
LIMITS = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's, of one batch
TOTAL = 1000  # of all three in one batch
DIGEST = 36  # characters of a data set's digest that MLflow takes; the tag data.digest has all
LONGEST_TAG = 5000  # characters, MLflow's limit on some stores


@dataclass
class RunWriter:
    """Makes one run show its chain; each method adds what is missing."""

    store: MlflowStore
    journal: JournalIndex
    chain: RunGroup
    run: "Run"
    first: "Run | None" = None  # of the same lineage, with another result
    parent: "Run | None" = None  # of the model that this one was made from

    def show(self) -> None:
        """Everything, the mark that it is complete last."""
        self.write_tags()
        self.write_parameters()
        self.write_history()
        self.write_data()
        model = self.write_model()
        self.write_figures(self.chain.head, model)
        for entry in self.chain.attachments:
            self.attach(entry, model)
        self.write_status()
        self.store.client.set_tag(self.id, STATE, self.chain.digest)

    @property
    def id(self) -> str:
        return str(self.run.info.run_id)

    def write_tags(self) -> None:
        self._set_tags(self.tags())

    def tags(self) -> dict[str, str]:
        """All that the run bears; what holds no longer is empty."""
        stale = {key: "" for key in ("status.reason",) if key in self.run.data.tags}
        return stale | tags_of(self.chain, self.parent) | self._difference()

    def write_parameters(self) -> None:
        for batch in batches("params", self.parameters()):
            self.store.client.log_batch(self.id, params=batch)

    def parameters(self) -> list["Param"]:
        """Those that the run lacks."""
        from mlflow.entities import Param

        known = self.run.data.params
        return [Param(k, str(v)) for k, v in self.chain.head.record["params"].items() if k not in known]

    def write_history(self) -> None:
        for batch in batches("metrics", self.curves()):
            self.store.client.log_batch(self.id, metrics=batch)

    def curves(self) -> list["Metric"]:
        """Points that are there already have the same time and value, and MLflow keeps them once."""
        return [metric for row in self.chain.history() for metric in points(row)]

    def write_data(self) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = self.chain.head.record["data"]
        if self.run.inputs is None or self.run.inputs.dataset_inputs or not data.get("digest"):
            return
        source = json.dumps({"uri": data["source"]})
        profile = json.dumps({"num_rows": data["images"]}) if "images" in data else None
        dataset = Dataset(
            data["name"], data["digest"][:36], "local", source, profile=profile
        )  # 36: MLflow's limit
        self.store.client.log_inputs(
            self.id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
        )

    def write_model(self) -> str | None:
        """Log the run's model, unless it is there; returns the id of its LoggedModel.

        A network of torch has none: its files are artifacts of the run.
        """
        model = logged_model.find_model(self.chain.head) if self.chain.result else None
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
        self._set_tags(tags)
        return tags.get("model.id")

    def write_figures(self, entry: JournalEntry, model: str | None) -> None:
        """The metrics and pictures of one stage; pictures lie in a folder named after it."""
        self._write_metrics(entry, model)
        for name in entry.record.get("figures") or []:
            self.store.client.log_artifact(self.id, str(entry.folder / name), entry.stage)

    def attach(self, entry: JournalEntry, model: str | None = None) -> None:
        """What another stage says of this run's model: it replaces what that stage said before."""
        tags = {
            **{key: str(value) for key, value in (entry.record["tags"] or {}).items()},
            "status": entry.status,
            "lineage.id": entry.lineage,
            "git.commit": entry.record["git"]["commit"] or "none",
            "reason": entry.reason or "",
        }
        prefixed = {f"{entry.name}.{key}": value for key, value in tags.items()}
        self._set_tags({k: v for k, v in prefixed.items() if v or k in self.run.data.tags})
        if entry.status == "FINISHED":
            self.write_figures(entry, model or self.run.data.tags.get("model.id"))
            self._set_tags({f"{entry.name}.attempt": entry.key})

    def has(self, entry: JournalEntry) -> bool:
        """Whether the run shows a result of this stage with this lineage already, whoever brought it."""
        tags = self.run.data.tags
        return f"{entry.name}.attempt" in tags and tags.get(f"{entry.name}.lineage.id") == entry.lineage

    def write_status(self) -> None:
        head = self.chain.head
        if head.status == "RUNNING":
            self.store.client.update_run(self.id, status="RUNNING")
        else:
            self.store.client.set_terminated(self.id, head.status, head.ended)

    def _write_metrics(self, entry: JournalEntry, model: str | None) -> None:
        data = entry.record["data"]
        link = {"model_id": model} if model else {}
        if data.get("digest"):
            link |= {"dataset_name": data["name"], "dataset_digest": data["digest"][:DIGEST]}
        for batch in batches("metrics", self.metrics(entry, link)):
            self.store.client.log_batch(self.id, metrics=batch)

    def metrics(self, entry: JournalEntry, link: dict[str, str]) -> list["Metric"]:
        """Those of a record that the run lacks, linked to a model and a data set."""
        from mlflow.entities import Metric

        known = self.run.data.metrics
        return [
            Metric(key, value, entry.ended, 0, **link)
            for key, value in self._named(entry).items()
            if known.get(key) != value
        ]

    def _named(self, entry: JournalEntry) -> dict[str, float]:
        """The figures of a record. Those of the epoch that was kept, whose names the curves bear already,
        are ``best/…``, and so is the epoch."""
        values = {
            key: float(value) for key, value in (entry.record["metrics"] or {}).items() if value is not None
        }
        rows = self.chain.history() if entry is self.chain.head else []
        names = {"epoch"}.union(*map(metrics_of, rows)) if rows else set()
        return {f"best/{key}" if key in names else key: value for key, value in values.items()}

    def _log_model(self, files: logged_model.ModelFiles) -> str:
        from mlflow.entities import LoggedModelOutput

        client, record = self.store.client, self.chain.head.record
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
        """For a second run of a lineage: which is the first, and what differs."""
        if self.first is None or self.chain.result is None:
            return {}
        theirs = self.first.data.tags
        ours = tags_of(self.chain)
        outputs = json.loads(theirs.get("outputs", "{}"))
        files = sorted(k for k, v in json.loads(ours["outputs"]).items() if outputs.get(k) != v)
        numerics = [
            f"{key}: {ours.get(key, 'none')} here, {theirs.get(key, 'none')} there"
            for key in sorted(ours.keys() | theirs.keys())
            if key.startswith("numerics.") and ours.get(key) != theirs.get(key)
        ]
        return {
            "lineage.first_run": self.first.info.run_id,
            "lineage.differs": _cut("; ".join([*files, *numerics]) or "unknown"),
        }

    def _set_tags(self, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        known = self.run.data.tags
        changed = [RunTag(key, value) for key, value in tags.items() if known.get(key) != value]
        for batch in batches("tags", changed):
            self.store.client.log_batch(self.id, tags=batch)
        known |= tags


@dataclass
class ChildRunWriter(RunWriter):
    """A trial or a fold: no model and no data set of its own, and few calls, as there may be thousands."""

    best: bool = False  # the search names it as its best

    def show(self) -> None:
        """Everything in two calls; MLflow writes a batch's tags last, so the mark comes last here too."""
        from mlflow.entities import RunTag

        self.write_status()
        known, tags = self.run.data.tags, {**self.tags(), STATE: self.state}
        metrics = [*self.curves(), *self.metrics(self.chain.head, {})]
        changed = [RunTag(key, value) for key, value in tags.items() if known.get(key) != value]
        for parcel in combined_batches(metrics, self.parameters(), changed):
            self.store.client.log_batch(self.id, *parcel)
        known |= tags

    @property
    def state(self) -> str:
        """What the run shows when it is complete: the attempts, where it lies, and the mark."""
        return child_state(self.chain, self.parent, self.best)

    def tags(self) -> dict[str, str]:
        lost = {"best": ""} if "best" in self.run.data.tags else {}
        return super().tags() | lost | best_tag(self.best)

    def write_status(self) -> None:
        head, info = self.chain.head, self.run.info
        if head.status != info.status or (head.status != "RUNNING" and head.ended != info.end_time):
            super().write_status()


def child_state(chain: RunGroup, parent: "Run | None", best: bool) -> str:
    """Changes whenever the run of a trial or fold has to be refreshed."""
    return json_hash([chain.digest, parent.info.run_id if parent else None, best])


def best_tag(best: bool) -> dict[str, str]:
    """The mark of the best trial."""
    return {"best": "true"} if best else {}


def points(row: dict[str, Any]) -> list[Any]:
    """An epoch's figures as MLflow's metrics."""
    from mlflow.entities import Metric

    time, epoch = milliseconds(row["time"]), int(row["epoch"])
    return [Metric(key, value, time, epoch) for key, value in metrics_of(row).items()]


def tags_of(chain: RunGroup, parent: "Run | None" = None) -> dict[str, str]:
    """What the run of a chain, below the run ``parent``, says of where it came from."""
    record, git = chain.head.record, chain.head.record["git"]
    result = chain.result
    tags = {
        "mlflow.runName": record["name"],
        "stage": record["stage"],
        "lineage.id": record["lineage"],
        "lineage.parents": json.dumps(record["parents"], sort_keys=True),
        "git.commit": git["commit"] or "none",
        "git.dirty": ", ".join(git["dirty"]) or "no",
        "data.digest": record["data"].get("digest", "unknown"),
        "seed": str(record["seed"]),
        ATTEMPTS: ",".join(chain.keys),
        **{f"numerics.{key}": str(value) for key, value in (record["numerics"] or {}).items()},
        **{key: str(value) for key, value in (record["tags"] or {}).items()},
    }
    if chain.head.parent:
        tags[PARENT] = chain.head.parent
    if parent is not None:
        tags["mlflow.parentRunId"] = parent.info.run_id
    if record.get("variant"):
        tags["variant"] = record["variant"]
    if git["commit"]:
        tags["mlflow.source.git.commit"] = git["commit"]
    if chain.head.reason:
        tags["status.reason"] = chain.head.reason
    if result is not None:
        short = {path: digest[:16] for path, digest in sorted(result.outputs.items())}
        tags |= {"outputs.digest": str(chain.outputs_digest), "outputs": _json(short)}
    return {key: _cut(value) for key, value in tags.items()}


def _json(outputs: dict[str, str]) -> str:
    """JSON that fits into a tag; too many files are left out, the digest of all still tells."""
    text = json.dumps(outputs)
    return text if len(text) <= LONGEST_TAG else "{}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TAG else f"{text[: LONGEST_TAG - 1]}…"


def batches(kind: str, items: list[Any]) -> list[list[Any]]:
    """Cut what goes into one call to MLflow's limits."""
    size = LIMITS[kind]
    return [items[at : at + size] for at in range(0, len(items), size)]


def combined_batches(
    metrics: list["Metric"], params: list["Param"], tags: list["RunTag"]
) -> list[tuple[list["Metric"], list["Param"], list["RunTag"]]]:
    """What to log in as few calls as MLflow's limits allow, tags last."""
    sizes = {"metrics": len(metrics), "params": len(params), "tags": len(tags)}
    if sum(sizes.values()) <= TOTAL and all(size <= LIMITS[kind] for kind, size in sizes.items()):
        return [(metrics, params, tags)]
    return [
        *((batch, [], []) for batch in batches("metrics", metrics)),
        *(([], batch, []) for batch in batches("params", params)),
        *(([], [], batch) for batch in batches("tags", tags)),
    ]
