"""The card has what a reader needs, in Markdown that shows names literally, and fits into every registry."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard
from sklearn.metrics import f1_score

from src.registry.class_report import ClassReport, write_confusion
from src.registry.image_roles import ImageRole
from src.registry.model_card import LONGEST, ModelCardFacts, description_of, model_card

FACTS = ModelCardFacts(
    name="assay-shapes",
    variant="int8",
    data="shapes",
    data_digest="d" * 64,
    classes=["circle", "T-shirt/top", "a|b"],
    channels=1,
    height=28,
    width=20,
    resize_mode="pad",
    steps=["prune_structured", "export", "quantize_static"],
    metrics={
        "val/accuracy": 0.98,
        "val/accuracy/change": -0.0021,
        "val/accuracy/change/low": -0.006,
        "val/accuracy/change/high": 0.002,
        "test/accuracy": 0.9712,
        "test/accuracy/low": 0.96,
        "test/accuracy/high": 0.98,
        "test/f1_macro": 0.8512,
        "model/bytes": 123456,
        "speed/latency_p50_ms": 0.1234,
    },
    confidence=0.95,
    machine="A CPU, AVX2, threads: 2",
    weakest=("a|b", 40, 35),
    never_right=["c|d", "e"],
    confusions=[("a|b", "circle", 4), ("circle", "T-shirt/top", 1)],
    decision=None,
    roles=[ImageRole("val", 1270, ["the epoch of the base", "the variant"]), ImageRole("test", 359, [])],
    lineage="l" * 64,
    sha256="s" * 64,
    commit="c0ffee",
    dirty=["src/train.py"],
)


@pytest.mark.parametrize(
    "line",
    [
        "# assay-shapes: int8",
        "Made from the base model by: prune_structured, export, quantize_static.",
        "- **Classes**: circle, T-shirt/top, a\\|b.",
        "They are converted to 28 × 20 gray pixels (`resize_mode: pad`)",
        "| | | 95% interval |",
        "| Accuracy, validation | 0.9800 |  |",
        "| Change from the base model, validation | -0.0021 | -0.0060 to +0.0020 |",
        "| Accuracy, test | 0.9712 | 0.9600 to 0.9800 |",
        "| Size of model.onnx in bytes | 123,456 |  |",
        "| Milliseconds per image, median | 0.123 |  |",
        "Speed was measured on: A CPU, AVX2, threads: 2.",
        "The weakest class is a\\|b: 35 of its 40 test images are right.",
        "| Macro F1, test | 0.8512 |  |",
        "- Never right on the test images: c\\|d, e.",
        "- Its most frequent errors on the test images: a\\|b as circle (4), circle as T-shirt/top (1).",
        "| val | 1,270 | the epoch of the base, the variant |",
        "| test | 359 | nothing: they are only reported |",
        f"- Lineage `{'l' * 64}` (stage `compress@int8`), commit `c0ffee`, with changes in src/train.py",
        'model = mlflow.pyfunc.load_model("models:/assay-shapes/VERSION")',
        "onnxruntime.InferenceSession",
        "mlflow models serve -m models:/assay-shapes/VERSION --env-manager local",
    ],
)
def test_what_it_says(line):
    assert line in model_card(FACTS)


def test_it_names_the_rule_by_which_the_model_answers():
    assert "It always answers with one of its classes" in model_card(FACTS)
    text = model_card(replace(FACTS, decision="the most probable class from 0.9 on, else no answer"))
    assert "- **Answer**: the most probable class from 0.9 on, else no answer. `label` stays" in text
    assert "Its label is always one of its classes" in text and "It always answers" not in text


def test_missing_metrics_are_left_out():
    text = model_card(
        replace(FACTS, metrics={"test/accuracy": 1.0}, weakest=None, never_right=[], confusions=[], dirty=[])
    )
    table = re.findall(r"^\| ([^|]+) \|", text.split("## Metrics")[1].split("Speed")[0], re.MULTILINE)
    assert [row for row in table if row not in ("---", "")] == ["Accuracy, test"]
    assert "weakest" not in text
    assert "Never right" not in text
    assert "with changes" not in text and "most frequent errors" not in text


def test_it_fits_into_every_registry():
    many = replace(FACTS, classes=[f"class {n} with a long name" for n in range(1000)], dirty=["x" * 99] * 50)
    text = description_of(model_card(many))
    assert "and 960 more" in text
    assert len(text) <= LONGEST
    assert len(description_of(model_card(FACTS))) < LONGEST - 1000  # an ordinary card is not cut


def test_hugging_face_reads_its_metadata():
    metadata = ModelCard(model_card(FACTS)).data
    assert (metadata.library_name, metadata.pipeline_tag) == ("onnx", "image-classification")
    results = {result.metric_name: result.metric_value for result in metadata.eval_results}
    assert results == {"val/accuracy": 0.98, "test/accuracy": 0.9712}
    assert "library_name" not in description_of(model_card(FACTS))


def test_the_weakest_class_and_the_confusions_are_those_of_the_predictions(tmp_path):
    targets = np.array([0] * 10 + [1] * 4 + [2] * 2)
    predicted = np.array([0] * 8 + [1, 1] + [1] * 2 + [0, 2] + [2, 0])
    report = ClassReport.of(["a", "b", "c", "d"], targets, predicted)
    assert report.weakest() == ("b", 4, 2)  # as bad as c, but with more images; d has none
    assert report.confusions() == [("a", "b", 2), ("b", "a", 1), ("b", "c", 1)]
    assert report.never_right() == []
    write_confusion(tmp_path / "confusion.csv", report)
    table = pd.read_csv(tmp_path / "confusion.csv")
    assert table["images"].sum() == 16
    assert table.query("actual == predicted")["images"].sum() == 11


def test_classes_that_are_never_right_are_named():
    report = ClassReport.of(["a", "b", "c"], np.array([0, 1, 1]), np.array([0, 0, 0]))
    assert report.never_right() == ["b"]
    assert report.weakest() == ("b", 2, 0)
    f1 = f1_score([0, 1, 1], [0, 0, 0], average="macro", labels=[0, 1])  # c has no images
    assert report.f1_macro() == pytest.approx(f1)
    assert ClassReport.of(["a", "b"], np.array([0, 1]), np.array([0, 1])).weakest() is None
