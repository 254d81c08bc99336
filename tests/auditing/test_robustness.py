"""The audit recomputes what evaluate says of corrupted images and subgroups."""

import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from src.auditing.robustness import ASKED, _drawn, _judge, check_robustness
from src.auditing.verdict import CheckLog, Verdict
from src.data.dataset.spec import DataSpec, with_spec
from src.evaluation.predictions import Predictions
from src.evaluation.report.robustness import publish_robustness
from src.evaluation.report.subgroups import publish_subgroups
from src.evaluation.robustness.answers import predict_corrupted
from src.evaluation.robustness.subgroups import subgroup_metrics
from src.models.inference import predict_logits
from src.models.saving import save_model
from tests.evaluation.test_subgroups import settings
from tests.support.digits import TEST_ROWS, digits, trained

pytestmark = pytest.mark.slow  # each trains, or saves, a model

SETTINGS = settings(corruptions=["noise", "jpeg"], subgroups=["site"])
ROWS, SEED = TEST_ROWS[:100], 3


@pytest.fixture
def audited(tmp_path):
    """A target whose base was evaluated, its stored predictions, and the metrics that were published."""
    report, ingest, model = (tmp_path / name for name in ("reports/evaluate", "data/ingest", "models/base"))
    for folder in (report, ingest, model):
        folder.mkdir(parents=True)
    images, targets = digits()
    found = trained()
    save_model(model, found.network, found.spec)
    np.save(ingest / "images.npy", images)
    sites = np.where(np.arange(len(images)) % 3, "north", "south")
    parquet.write_table(
        pa.table({"id": np.arange(len(images)), "csv.site": sites}), ingest / "manifest.parquet"
    )
    tested = Predictions(
        split="test",
        classes=found.spec.classes,
        ids=ROWS,
        targets=targets[ROWS],
        probabilities=np.exp(predict_logits(found.network, found.spec, images, ROWS, device="cpu")),
        data=DataSpec(found.spec.classes),
        sources=[],
        uncalibrated=None,
    )
    parquet.write_table(with_spec(pa.table({"id": ROWS}), tested.data), report / "predictions.parquet")
    place = ingest / "images.npy"
    answers = predict_corrupted(
        SETTINGS.corruptions, ROWS, model, place, batch_size=64, device="cpu", seed=SEED, show=False
    )
    robust, _ = publish_robustness(report, answers, tested, place, SETTINGS, SEED)
    groups, _ = publish_subgroups(report, tested, {"site": sites.tolist()}, SETTINGS, SEED)
    stage = SimpleNamespace(parameters={"evaluate": SETTINGS.model_dump(), "seed": SEED})
    table = {"id": ROWS, "target": tested.targets, "predicted": tested.probabilities.argmax(axis=1)}
    target = SimpleNamespace(folder=tmp_path, lock={"evaluate": stage})
    return target, table, robust.means | subgroup_metrics(groups)


def check(audited):
    target, table, _ = audited
    see = CheckLog()
    return check_robustness(target, table, 10, see), see


def test_what_nobody_has_changed_agrees(audited):
    found, see = check(audited)
    assert not see.findings
    assert found == pytest.approx(audited[2], nan_ok=True)
    assert see.agreed == [
        "robustness.csv follows from the stored answers",
        "the model gives 600 of its 600 answers for corrupted images again",
        "subgroups.csv follows from the stored answers",
    ]


@pytest.mark.parametrize(
    ("name", "pattern", "column"),
    [
        ("robustness.csv", r"(?m)^(noise,3,100,)([^,]*)", "test/accuracy in line 5 of robustness.csv"),
        ("subgroups.csv", r"(?m)^(site,south,\d+,)([^,]*)", "test/accuracy in line 3 of subgroups.csv"),
    ],
)
def test_a_nicer_accuracy_in_a_table_is_named(audited, name, pattern, column):
    path = audited[0].folder / "reports/evaluate" / name
    text, changes = re.subn(pattern, r"\g<1>0.999", path.read_text())
    assert changes == 1
    path.write_text(text)
    (finding,) = check(audited)[1].findings
    assert (finding.what, finding.found, finding.verdict) == (column, "0.999", Verdict.TAMPERED)


def test_a_line_that_is_missing_is_named(audited):
    path = audited[0].folder / "reports/evaluate/subgroups.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    (finding,) = check(audited)[1].findings
    assert (finding.what, finding.found) == ("subgroups.csv", "1 line")


def edit_answers(audited, edit):
    path = audited[0].folder / "reports/evaluate/corrupted.parquet"
    table = parquet.ParquetFile(path).read()
    columns = edit({name: table[name].to_numpy().copy() for name in table.column_names})
    parquet.write_table(pa.table(columns).replace_schema_metadata(table.schema.metadata), path)


def test_answers_that_the_model_does_not_give_are_named(audited):
    edit_answers(audited, lambda columns: columns | {"noise/3": columns["target"]})
    found = {finding.what for finding in check(audited)[1].findings}
    assert "noise/3 of corrupted.parquet, the model asked again" in found
    assert "test/accuracy in line 5 of robustness.csv" in found


def test_a_few_answers_of_one_column_are_named_where_all_columns_together_would_hide_them():
    asked = ASKED
    for others, findings in ((2, 0), (3, 1)):
        see = CheckLog()
        _judge({("noise", 1): others, **{("blur", severity): 0 for severity in (1, 2, 3)}}, asked, see)
        assert len(see.findings) == findings
        assert len(see.agreed) == 1 - findings


def test_one_other_answer_is_rounding_however_few_are_asked():
    for others, findings in ((1, 0), (2, 1)):
        see = CheckLog()
        _judge({("noise", 1): others}, 100, see)
        assert len(see.findings) == findings


def test_the_content_decides_about_which_images_the_model_is_asked(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1"), other.write_bytes(b"2")
    assert np.array_equal(_drawn(one, 4 * ASKED), _drawn(one, 4 * ASKED))
    assert not np.array_equal(_drawn(one, 4 * ASKED), _drawn(other, 4 * ASKED))
    assert len(np.unique(_drawn(one, 4 * ASKED))) == ASKED
    assert _drawn(one, 4 * ASKED).max() >= 3 * ASKED
    assert np.array_equal(_drawn(one, 7), np.arange(7))


def test_answers_for_other_images_are_named(audited):
    edit_answers(audited, lambda columns: {name: values[1:] for name, values in columns.items()})
    assert check(audited)[1].findings[0].what == "corrupted.parquet"


def test_answers_without_a_corruption_are_named(audited):
    edit_answers(audited, lambda columns: {name: columns[name] for name in columns if name != "jpeg/3"})
    assert check(audited)[1].findings[0].what == "corrupted.parquet"


def test_without_the_manifest_subgroups_are_noted_as_not_recomputed(audited):
    (audited[0].folder / "data/ingest/manifest.parquet").unlink()
    see = check(audited)[1]
    assert not see.findings
    assert "the subgroups were not recomputed" in see.notes[0]


def test_an_evaluation_that_dvc_has_not_recorded_is_left_alone(audited):
    audited[0].lock.clear()
    found, see = check(audited)
    assert (found, see.findings, see.agreed) == ({}, [], [])


@pytest.mark.parametrize("name", ["corrupted.parquet", "robustness.csv", "subgroups.csv"])
def test_a_file_that_is_missing_is_named(audited, name):
    (audited[0].folder / "reports/evaluate" / name).unlink()
    (finding,) = check(audited)[1].findings
    assert (finding.what, finding.verdict) == (f"reports/evaluate/{name}", Verdict.INCOMPLETE)


@pytest.mark.parametrize("setting", ["corruptions", "subgroups"])
def test_files_that_were_not_asked_for_are_named(audited, setting):
    audited[0].lock["evaluate"].parameters["evaluate"][setting] = []
    names = {"corruptions": ["corrupted.parquet", "robustness.csv"], "subgroups": ["subgroups.csv"]}
    findings = check(audited)[1].findings
    assert [finding.what for finding in findings] == [f"reports/evaluate/{name}" for name in names[setting]]
    assert {finding.verdict for finding in findings} == {Verdict.TAMPERED}


def test_an_evaluation_without_either_says_nothing(audited):
    audited[0].lock["evaluate"].parameters["evaluate"] |= {"corruptions": [], "subgroups": []}
    for path in (audited[0].folder / "reports/evaluate").iterdir():
        path.unlink()
    found, see = check(audited)
    assert (found, see.findings, see.agreed) == ({}, [], [])


@pytest.mark.parametrize("name", ["corrupted.parquet", "robustness.csv", "subgroups.csv"])
def test_a_damaged_file_is_named_and_the_rest_is_recomputed(audited, name):
    path = audited[0].folder / "reports/evaluate" / name
    path.write_bytes(path.read_bytes()[:50] + b"\xff")
    found, see = check(audited)
    (finding,) = see.findings
    assert (finding.what, finding.verdict) == (f"reports/evaluate/{name}", Verdict.INCOMPLETE)
    lost = "corrupted" if name == "corrupted.parquet" else "nothing"
    assert found.keys() == {metric for metric in audited[2] if lost not in metric}


def zero_target(columns):
    return columns | {"target": np.zeros_like(columns["target"])}


def drop_target(columns):
    return {name: values for name, values in columns.items() if name != "target"}


@pytest.mark.parametrize("edit", [zero_target, drop_target])
def test_other_targets_are_named_and_the_rest_is_recomputed(audited, edit):
    edit_answers(audited, edit)
    found, see = check(audited)
    assert [finding.what for finding in see.findings] == ["target of corrupted.parquet"]
    assert see.findings[0].verdict is Verdict.TAMPERED
    assert found == pytest.approx(audited[2], nan_ok=True)


def test_answers_that_do_not_say_of_which_data_they_are_are_named(audited):
    path = audited[0].folder / "reports/evaluate/corrupted.parquet"
    parquet.write_table(parquet.ParquetFile(path).read().replace_schema_metadata(None), path)
    found, see = check(audited)
    (finding,) = see.findings
    assert (finding.what, finding.verdict) == ("data of corrupted.parquet", Verdict.TAMPERED)
    assert found == pytest.approx(audited[2], nan_ok=True)


@pytest.mark.parametrize("value", [-1, 10, 0.5])
def test_answers_that_are_no_class_are_named_and_the_subgroups_are_recomputed(audited, value):
    edit_answers(audited, lambda columns: columns | {"jpeg/2": np.full(len(ROWS), value)})
    found, see = check(audited)
    (finding,) = see.findings
    assert (finding.what, finding.verdict) == ("corrupted.parquet", Verdict.TAMPERED)
    assert finding.found == "other values in jpeg/2"
    assert found.keys() == {metric for metric in audited[2] if "corrupted" not in metric}


def test_a_line_with_too_many_cells_is_named(audited):
    path = audited[0].folder / "reports/evaluate/subgroups.csv"
    path.write_text(path.read_text().rstrip("\n") + ",more\n")
    (finding,) = check(audited)[1].findings
    assert "line 3 of subgroups.csv" in finding.what
