"""Brings MLflow up to date with the journal: the one way in which anything gets there.

A stage calls it for its own lineage, ``python -m src.track`` for all. Each step looks at what is there
and adds what is missing, so it may be broken off anywhere and be done again.
"""

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from src.tracking import models
from src.tracking.chains import Chain, Entry, Journal, figures, milliseconds
from src.tracking.store import Store, connect

if TYPE_CHECKING:
    from mlflow.entities import Run

    from src.tracking.registry import Version

LOCK_WAIT = 10  # seconds for another process that brings the same run
STATE = "assay.state"  # tag: digest of the journal that the run shows
ATTEMPTS = "assay.attempts"  # tag: keys of the attempts that the run shows
LIMITS = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's, of one batch
LONGEST_TAG = 5000  # characters, MLflow's limit on some stores


@dataclass(frozen=True)
class Brought:
    """A run that was looked at, and what was done: created, refreshed, unchanged or waiting."""

    name: str
    experiment: str
    lineage: str
    status: str
    done: str


@dataclass
class Summary:
    """What `synchronize` did."""

    runs: list[Brought] = field(default_factory=list)
    versions: list["Version"] = field(default_factory=list)

    def count(self, done: str) -> int:
        """How many runs were created, refreshed, unchanged or waiting."""
        return sum(run.done == done for run in self.runs)


def synchronize(root: Path, lineage: str | None = None, patient: bool = False) -> Summary:
    """Bring MLflow up to date with the journal of ``root``, or with one lineage of it. Idempotent.

    With ``lineage``: the run that its executions speak of, and runs whose process died meanwhile.
    Without: everything, the registry too. ``patient``: wait longer for a slow server.

    Raises:
        AssayError: the repository was moved. Whatever else MLflow raises, when it cannot be reached.
    """
    journal = Journal(root)
    return replay(connect(root, patient), journal, None if lineage is None else journal.wanted(lineage))


def replay(store: Store, journal: Journal, subjects: list[str] | None = None) -> Summary:
    """Bring the runs of these lineages; by default of all, and the registry."""
    from src.tracking.registry import carry_out

    summary = Summary()
    for subject in journal.subjects() if subjects is None else subjects:
        summary.runs += bring(store, journal, subject)
    if subjects is None:
        summary.versions = carry_out(store, journal)
    return summary


def bring(store: Store, journal: Journal, subject: str) -> list[Brought]:
    """Create or refresh the runs of one lineage, one process at a time."""
    locks = store.root / "mlruns" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{subject}.lock", timeout=LOCK_WAIT):
        journal.read_again(subject)
        chains = journal.chains(subject)
        if not chains:
            return _bring_to_foreign(store, journal, subject)
        brought = [_bring_chain(store, journal, chain) for chain in chains]
        journal.settle(subject)
        return brought


def find_runs(store: Store, experiment: str, lineage: str) -> list["Run"]:
    """All runs of a lineage in an experiment, oldest first."""
    query = f"tags.`lineage.id` = '{lineage}'"
    return list(
        store.client.search_runs(
            [experiment], query, order_by=["attributes.start_time ASC"], max_results=1000
        )
    )


def find_run(store: Store, chain: Chain) -> str | None:
    """The id of the run that shows a chain."""
    experiment = store.experiment_id(chain.head.record["experiment"])
    found, _ = _match(find_runs(store, experiment, chain.head.lineage), chain)
    return found.info.run_id if found else None


def batches(kind: str, items: list[Any]) -> list[list[Any]]:
    """Cut what goes into one call to MLflow's limits."""
    size = LIMITS[kind]
    return [items[at : at + size] for at in range(0, len(items), size)]


def _bring_chain(store: Store, journal: Journal, chain: Chain) -> Brought:
    head = chain.head.record
    experiment = store.experiment_id(head["experiment"])
    runs = find_runs(store, experiment, chain.head.lineage)
    run, superseded = _match(runs, chain)
    for other in superseded:  # a repetition that was shown while it ran, and came to an equal result
        store.client.delete_run(other.info.run_id)
    done = "created" if run is None else "refreshed"
    if run is not None and run.data.tags.get(STATE) == chain.digest:
        done = "unchanged"
    else:
        run = run or _create(store, experiment, chain)
        _Refresh(store, journal, chain, run, _predecessor(runs, run, chain)).all()
    return Brought(head["name"], head["experiment"], chain.head.lineage, chain.head.status, done)


def _match(runs: list["Run"], chain: Chain) -> tuple["Run | None", list["Run"]]:
    """The run that shows the chain, and those that showed a part of it before."""
    digest, keys = chain.outputs_digest, set(chain.keys)
    equal = [run for run in runs if digest and run.data.tags.get("outputs.digest") == digest]
    ours = [run for run in runs if keys & set(run.data.tags.get(ATTEMPTS, "").split(","))]
    found = [*equal, *ours]
    if not found:
        return None, []
    return found[0], [run for run in ours if run.info.run_id != found[0].info.run_id]


def _predecessor(runs: list["Run"], run: "Run", chain: Chain) -> "Run | None":
    """The first run of the same lineage with another result."""
    others = [
        other
        for other in runs
        if other.info.run_id != run.info.run_id
        and other.data.tags.get("outputs.digest", chain.outputs_digest) != chain.outputs_digest
        and other.info.start_time <= run.info.start_time
    ]
    return others[0] if others else None


def _create(store: Store, experiment: str, chain: Chain) -> "Run":
    """An empty run that can be found again, should the process die at the next line."""
    first = chain.entries[0]
    tags = {
        "lineage.id": first.lineage,
        "stage": first.stage,
        ATTEMPTS: ",".join(chain.keys),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": str(first.record["command"]),
    }
    return store.client.create_run(experiment, first.started, tags, first.record["name"])


def _bring_to_foreign(store: Store, journal: Journal, subject: str) -> list[Brought]:
    """Figures for a run that another machine made: they go to it if MLflow has it."""
    brought = []
    for entry in journal.attached(subject):
        record = entry.record
        runs = [
            r
            for r in find_runs(store, store.experiment_id(record["experiment"]), subject)
            if r.info.status == "FINISHED"
        ]
        if runs:
            _Refresh(store, journal, Chain([], [entry]), runs[0], None).attach(entry)
        done = "refreshed" if runs else "waiting"
        brought.append(Brought(record["name"], record["experiment"], subject, entry.status, done))
    return brought


@dataclass
class _Refresh:
    """Makes one run show its chain; each method adds what is missing."""

    store: Store
    journal: Journal
    chain: Chain
    run: "Run"
    first: "Run | None"

    def all(self) -> None:
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
        tags = _tags(self.chain) | self._difference()
        parent = self._parent()
        if parent is not None:
            tags["mlflow.parentRunId"] = parent.info.run_id
        stale = {key: "" for key in ("status.reason",) if key in self.run.data.tags}
        self._set_tags(stale | tags)

    def write_parameters(self) -> None:
        from mlflow.entities import Param

        known = self.run.data.params
        params = [Param(k, str(v)) for k, v in self.chain.head.record["params"].items() if k not in known]
        for batch in batches("params", params):
            self.store.client.log_batch(self.id, params=batch)

    def write_history(self) -> None:
        """Points that are there already have the same time and value, and MLflow keeps them once."""
        metrics = [metric for row in self.chain.history() for metric in points(row)]
        for batch in batches("metrics", metrics):
            self.store.client.log_batch(self.id, metrics=batch)

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
        """The id of the run's LoggedModel, made if need be."""
        weights = models.weights(self.chain.head) if self.chain.result else None
        spec = models.spec(self.chain.head, self.journal) if weights else None
        if weights is None or spec is None:
            return None
        digest = models.identity(weights)
        known = self.run.data.tags
        if known.get("model.sha256") == digest:
            return known["model.id"]
        model = self._log_model(weights, spec, digest)
        self._set_tags({"model.sha256": digest, "model.id": model})
        return model

    def write_figures(self, entry: Entry, model: str | None) -> None:
        """The metrics and pictures of one stage; pictures lie in a folder named after it."""
        self._write_metrics(entry, model)
        for name in entry.record.get("figures") or []:
            self.store.client.log_artifact(self.id, str(entry.folder / name), entry.stage)

    def attach(self, entry: Entry, model: str | None = None) -> None:
        """What another stage says of this run's model: it replaces what that stage said before."""
        prefix = (
            entry.stage if entry.record.get("variant") is None else f"{entry.stage}.{entry.record['variant']}"
        )
        tags = {
            f"{prefix}.status": entry.status,
            f"{prefix}.lineage.id": entry.lineage,
            f"{prefix}.git.commit": entry.record["git"]["commit"] or "none",
            f"{prefix}.reason": entry.reason or "",
        }
        self._set_tags({k: v for k, v in tags.items() if v or k in self.run.data.tags})
        if entry.status == "FINISHED":
            self.write_figures(entry, model or self.run.data.tags.get("model.id"))

    def write_status(self) -> None:
        head = self.chain.head
        if head.status == "RUNNING":
            self.store.client.update_run(self.id, status="RUNNING")
        else:
            self.store.client.set_terminated(self.id, head.status, head.ended)

    def _write_metrics(self, entry: Entry, model: str | None) -> None:
        from mlflow.entities import Metric

        known = self.run.data.metrics
        curves = {key for row in self.chain.history() for key in figures(row)}
        data = entry.record["data"]
        link = {"model_id": model} if model else {}
        if data.get("digest"):
            link |= {"dataset_name": data["name"], "dataset_digest": data["digest"][:36]}
        wanted = {f"best/{k}" if k in curves else k: v for k, v in (entry.record["metrics"] or {}).items()}
        metrics = [
            Metric(key, float(value), entry.ended, 0, **link)
            for key, value in wanted.items()
            if value is not None and known.get(key) != float(value)
        ]
        for batch in batches("metrics", metrics):
            self.store.client.log_batch(self.id, metrics=batch)

    def _log_model(self, weights: Path, spec: Path, digest: str) -> str:
        from mlflow.entities import LoggedModelOutput

        client, record = self.store.client, self.chain.head.record
        tags = {"lineage.id": record["lineage"], "model.sha256": digest}
        name = record.get("variant") or "base"
        model = client.create_logged_model(
            self.run.info.experiment_id, name, self.id, tags, model_type="pyfunc"
        )
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "model")
            identity = {"artifact_path": model.artifact_location, "model_uuid": model.model_id}
            models.save(
                folder,
                weights,
                spec,
                self.store.root,
                {**identity, "model_id": model.model_id, "run_id": self.id},
            )
            client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
        client.log_outputs(self.id, [LoggedModelOutput(model.model_id, 0)])
        return str(model.model_id)

    def _parent(self) -> "Run | None":
        """The run of the base model, for a run of a model that was made from one."""
        head = self.chain.head
        base = head.record["parents"].get("train") if head.stage != "train" else None
        if base is None:
            return None
        runs = find_runs(self.store, self.run.info.experiment_id, base)
        if not runs and self.journal.chains(base):
            bring(self.store, self.journal, base)
            runs = find_runs(self.store, self.run.info.experiment_id, base)
        return runs[0] if runs else None

    def _difference(self) -> dict[str, str]:
        """For a second run of a lineage: which is the first, and what differs."""
        if self.first is None or self.chain.result is None:
            return {}
        theirs = self.first.data.tags
        ours = _tags(self.chain)
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


def points(row: dict[str, Any]) -> list[Any]:
    """An epoch's figures as MLflow's metrics."""
    from mlflow.entities import Metric

    time, epoch = milliseconds(row["time"]), int(row["epoch"])
    return [Metric(key, value, time, epoch) for key, value in figures(row).items()]


def _tags(chain: Chain) -> dict[str, str]:
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
