"""A search that several processes share by way of a PostgreSQL server, with the commands that people type."""

import csv

import pytest

from src.provenance.journal import attempts
from tests.support.postgres import postgres_server

pytestmark = pytest.mark.prove

TRIALS = 5


@pytest.fixture(scope="module")
def server():
    with postgres_server() as url:
        yield url


def test_a_worker_joins_the_study_of_another_process_and_the_total_is_reached(copy, server):
    storage = f"sweep.storage={server}"
    settings = ("experiment=tiny", "sweep.study=shared", f"sweep.trials={TRIALS}", "machine.progress=false")
    creator = copy.start("python", "-m", "src.sweep", *settings, storage, "sweep.n_jobs=1")
    lines = []
    while "created study shared" not in "".join(lines):
        lines.append(creator.stdout.readline())
        assert lines[-1], f"it ended without a study: {lines}"
    joined = copy.run("python", "-m", "src.sweep", "--worker", "shared", storage, "sweep.n_jobs=1")
    output, _ = creator.communicate()
    assert creator.returncode == 0, output
    assert f"study shared has ended with {TRIALS} trials" in joined.stdout
    (place,) = (copy / "outputs/sweep").iterdir()
    with (place / "trials.csv").open() as file:
        trials = list(csv.DictReader(file))
    assert len(trials) == TRIALS and {trial["state"] for trial in trials} <= {"complete", "pruned"}

    records = [attempt.record for attempt in attempts(copy.folder)]
    search = max((r for r in records if r["stage"] == "sweep"), key=lambda record: record["started"])
    of_trials = [record for record in records if record.get("parent") == search["lineage"]]
    assert len({record["lineage"] for record in of_trials}) == TRIALS
    assert {record["status"] for record in of_trials} == {"FINISHED"}
    assert server not in "".join(map(str, records)), "the address may hold a password"


def test_who_has_other_code_cannot_join(copy, server):
    storage = f"sweep.storage={server}"
    with (copy / "src/search/engine/trial.py").open("a") as code:
        code.write("# another version\n")
    done = copy.run("python", "-m", "src.sweep", "--worker", "shared", storage, check=False)
    assert done.returncode == 1 and "with other code, data or parameters" in done.stderr
    done = copy.run("python", "-m", "src.sweep", "--worker", "nobody", storage, check=False)
    assert done.returncode == 1 and "no study nobody" in done.stderr and "it has shared" in done.stderr
