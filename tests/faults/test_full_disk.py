"""A disk that is full at any write: the message says so, nothing is left half made, and nothing is lost."""

import shutil

import pytest

from src.core.hashing import hash_tree
from tests.support.full_disk import Site, run_on_full_disk, sites

OUTPUTS = {
    "ingest": "data/ingest",
    "split": "data/split",
    "normalize": "data/normalize",
    "sweep": "sweep",
    "train": "models/base",
    "cross_validate": "reports/cross_validate",
    "evaluate": "reports/evaluate",
    "compress": "models/int8_static",
    "compare": "reports/compare",
    "benchmark": "reports/benchmark",
    "register": "reports/register",
}
OBSERVATIONS = ("benchmark", "register")  # their bytes are not a function of the inputs
TRIES = 6  # to meet one call
HALF_MADE = ("**/*.tmp", "**/copy.*", "**/.*.incoming", "**/.*.replaced", "mlflow.db.new-*")


def half_made(folder):
    return sorted(
        str(path) for pattern in HALF_MADE for path in folder.glob(pattern) if ".dvc/" not in str(path)
    )


def faults(copy, site, failed):
    """What is wrong with how a command ended that met a full disk."""
    shown = failed.stdout + failed.stderr
    if "Traceback" in shown or (failed.returncode and "disk is full" not in shown):
        yield f"{site}: exit code {failed.returncode}: {shown[-2000:]}"
    if left := half_made(copy.folder):
        yield f"{site}: left {left}"


@pytest.mark.prove
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_full_disk_at_any_write_of_a_stage_loses_nothing(copy, stage):
    command = ("python", "-m", f"src.{stage}", *(["int8_static"] if stage == "compress" else []))
    place = copy / OUTPUTS[stage]
    copy.run("python", "-m", "src.track", "--rebuild")
    before, problems, missed = hash_tree(place), [], []
    found = sites(copy, *command)
    assert len(found) > 10
    for first in found:
        site: Site | None = first
        for _ in range(TRIES):
            shutil.rmtree(place)  # as DVC does before it runs a stage
            failed, again = run_on_full_disk(copy, site, *command)
            if again is None:
                problems += faults(copy, site, failed)
            if failed.returncode and (repeated := copy.run(*command, check=False)).returncode:
                problems.append(f"{site}: the next run failed: {repeated.stderr[-2000:]}")
            if stage not in OBSERVATIONS and hash_tree(place) != before:
                problems.append(f"{site}: other bytes")
            if again is None:
                break
            site = again
        else:
            missed.append(first)
    print(f"{len(found) - len(missed)} of {len(found)} calls were met; not met: {missed}")
    assert not problems, "\n\n".join(problems)
    assert len(missed) <= len(found) / 5
