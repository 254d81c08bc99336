"""The registry shows every decision once, and what people changed since then stays."""

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src.core.errors import AssayError
from src.core.hashing import file_hash
from src.pipeline.job import parse_arguments
from src.register import add_options, change_champion
from src.registry.decisions import Challenge, Registration, Ruling, decisions
from src.registry.loading import pin_version
from src.registry.manual import promote, rollback
from src.registry.versions import read_version
from src.track import track
from src.tracking import circuit_breaker
from src.tracking.circuit_breaker import CircuitBreaker
from src.tracking.mlflow_store import connect
from tests.support.journals import lineage_of, make_variant, trained
from tests.support.registries import (
    BASE_ERRORS,
    MOMENTS,
    ROOT,
    TEST,
    VAL,
    Workspace,
    aliases,
    registry,
    variants,
)

LOSS = range(60, 65)  # five images: 2 to the power of -5 is below 0.05
MORE = range(60, 69)  # five more than the first four of them


@pytest.fixture
def here(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A working folder in which the base is trained."""
    trained(root)
    workspace = Workspace(root, tmp_path / "workspace", monkeypatch)
    workspace.configure(constraints=[])
    return workspace


@pytest.fixture
def server(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A team's store, instead of the repository's own."""
    path = tmp_path / "team.db"
    path.write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return f"sqlite:///{path}"


def rulings(root: Path) -> list[tuple[bool, str]]:
    """Whether promoted, and by whom, of each ruling."""
    return [(d.champion, d.by) for d in decisions(root) if isinstance(d, Ruling)]


@pytest.mark.slow
def test_every_measured_variant_is_registered_and_the_choice_becomes_the_first_champion(
    here: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    here.add("plain", latency=2.0)
    here.fail("broken", "it has no convolution")
    here.add("quick", wrong=[60, 101], latency=0.5)
    decision = here.register()
    assert (decision["decision"], decision["variant"]) == ("champion", "quick")
    assert decision["registered"] == ["onnx_fp32", "plain", "quick"]
    assert decision["excluded"] == {"broken": "failed: it has no convolution"}
    against = "the loss in val/accuracy is -0.2000 and at most"  # wrong on one, and the base on nine of forty
    assert decision["promotion"].startswith(f"there was no champion; non-inferior to the base: {against}")
    assert decision["non_inferiority"]["quick"]["passed"] is True
    assert decision["images"]["test"] == {"images": 20, "decided": []}
    assert decision["images"]["val"]["images"] == 40 and "the variant" in decision["images"]["val"]["decided"]
    assert decision["classes"]["weakest"] == {"class": "dot", "images": 7, "right": 6}
    assert decision["sha256"] == file_hash(here.folder / "models/quick/model.onnx")
    assert decision["judged_by"].keys().isdisjoint(decision["test"])
    assert decision["test"]["accuracy"]["value"] == 0.95
    assert variants(here.root) == {"1": "onnx_fp32", "2": "plain", "3": "quick"}
    assert aliases(here.root) == {"challenger": "3", "champion": "3"}
    known = r"@challenger \(version 3\), @champion \(version 3\); its versions: 1, 2, 3"
    assert pin_version(here.root, "models:/shapes@champion") == "models:/shapes/3"
    with pytest.raises(AssayError, match=rf"no version is @champ\. shapes has {known}"):
        pin_version(here.root, "models:/shapes@champ")
    for number in ("@champ", "4"):
        with pytest.raises(AssayError, match=rf"shapes has {known}"):
            read_version(connect(here.root), "shapes", number)
    said = capsys.readouterr().out
    for text in (
        "broken: failed: it has no convolution",
        "quick: speed/latency_p50_ms is 0.5 ms, the best of 3 variants that meet the policy",
        "0.9500 (interval 0.8500 to 0.9500), macro F1 0.9487; it decided nothing",
        "Weakest class    dot: 6 of 7 test images",
        "Promotion        it is champion: there was no champion",
        "3 versions of shapes; shapes version 3 (challenger, champion)",
        "make ui",
    ):
        assert text in said


def test_the_last_lines_name_a_class_that_is_never_right(
    here: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    crosses = [row for row in TEST if here.targets[row] == 1]
    here.add("quick", wrong=crosses)
    decision = here.register()
    assert decision["classes"]["never_right"] == ["cross"]
    said = capsys.readouterr().out
    assert "Never right      1 of the classes in the test images: cross" in said
    assert f"macro F1 {decision['test']['f1_macro']:.4f}" in said and decision["test"]["f1_macro"] < 0.7


def test_a_version_has_metrics_card_evidence_and_record(here: Workspace) -> None:
    here.add("quick", wrong=[60], latency=0.5)
    here.register()
    description, tags = registry(here.root)["versions"]["2"]
    size = (here.folder / "models/quick/model.onnx").stat().st_size
    expected = {
        "val/accuracy": "0.975",
        "test/accuracy": "1",
        "model/bytes": str(size),
        "speed/latency_p50_ms": "0.5",
        "git.commit": "c0ffee",
        "variant": "quick",
        "lineage.id": lineage_of("quick one"),
        "sha256": file_hash(here.folder / "models/quick/model.onnx"),
        "promotion.result": "champion",
        "promotion.by": "rule",
    }
    assert expected.items() <= tags.items()
    assert len(tags) + len(MOMENTS) <= 20
    assert description.startswith("# shapes: quick\n")
    assert "A CPU, AVX2, threads: 2" in description
    client = connect(here.root).client
    version = client.get_model_version_by_alias("shapes", "champion")
    model = version.source.removeprefix("models:/")
    card = Path(client.get_logged_model(model).artifact_location, "README.md").read_text()
    assert card.startswith("---\n") and card.endswith(description) and "model-index:" in card
    kept = client.list_logged_model_artifacts(model, f"record/{version.tags['record']}")
    assert {"packages.txt", "dvc.lock"} <= {Path(file.path).name for file in kept}
    statement = {Path(file.path).name for file in client.list_logged_model_artifacts(model, "provenance")}
    assert (statement, version.tags["provenance.signed"]) == ({"provenance.json"}, "no")
    evidence = {Path(file.path).name for file in client.list_logged_model_artifacts(model, "evidence")}
    assert evidence == {"validation.npy", "logits.npy", "training.npy"}


@pytest.mark.slow
def test_registering_twice_is_registering_once_with_the_newest_metrics(here: Workspace) -> None:
    here.add("quick", latency=0.5)
    first = here.register()
    here.speeds["quick"]["speed/latency_p50_ms"] = 0.25
    again = here.register()
    assert again["decision"] == first["decision"] == "champion"
    assert again["promotion"] == "it is the champion already"
    shown = registry(here.root)
    assert shown["history"] == "2"
    description, tags = shown["versions"]["2"]
    assert tags["speed/latency_p50_ms"] == "0.25"
    assert "| Milliseconds per image, median | 0.250 |  |" in description
    track(here.root)
    assert registry(here.root) == shown


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "decision"), [(LOSS[:4], "champion"), (LOSS, "challenger")])
def test_a_challenger_is_promoted_if_it_is_non_inferior_to_the_champion(
    here: Workspace, lost: range, decision: str
) -> None:
    here.add("old", latency=1.0)
    here.register()
    here.add("new", wrong=lost, latency=0.5)
    made = here.register()
    assert (made["decision"], made["variant"]) == (decision, "new")
    assert (
        f"against version 2: {'' if decision == 'champion' else 'not shown '}non-inferior"
        in made["promotion"]
    )
    assert f"{len(lost)} lost and 0 won of 40 validation images" in made["promotion"]
    assert "97.5% limit" in made["promotion"]  # two variants share the level of 0.05
    assert aliases(here.root) == {"challenger": "3", "champion": "3" if decision == "champion" else "2"}
    _, tags = registry(here.root)["versions"]["3"]
    assert tags["promotion.reason"] == made["promotion"]


@pytest.mark.slow
def test_shuffled_test_labels_change_no_choice_and_no_promotion(
    here: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three rivals, one of which is worse than the champion only on test images, and one the other way."""
    made = []
    for shuffled in (False, True):
        other = Workspace(here.root, tmp_path / f"shuffled {shuffled}", monkeypatch)
        other.configure(name=f"shuffled-{shuffled}", constraints=[])
        if shuffled:
            other.targets[TEST.start :] = (other.targets[TEST.start :] + 1) % 3
            other.write_data()
            other.add_base()
        for variant, wrong, latency in [("old", [], 3.0), ("good", LOSS[:4], 2.0), ("bad", MORE, 1.0)]:
            other.add(variant, wrong=[*wrong, *([] if shuffled else TEST)], latency=latency)
            made.append(other.register())
    assert [one["decision"] for one in made] == ["champion", "champion", "challenger"] * 2
    plain, shuffled = made[:3], made[3:]
    assert [one.pop("test") for one in plain] != [one.pop("test") for one in shuffled]
    for one, other in zip(plain, shuffled, strict=True):
        assert one.pop("model") != other.pop("model")
        assert one.pop("classes") != other.pop("classes")
        assert one == other


@pytest.mark.slow
def test_within_no_constraint_nothing_is_promoted(
    here: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    here.add("old")
    here.register()
    here.configure(constraints=["model/bytes <= 10"])
    here.add("new", latency=0.1)
    decision = here.register()
    assert (decision["decision"], decision["variant"], decision["promotion"]) == ("none", None, None)
    assert decision["excluded"].keys() == {"onnx_fp32", "old", "new"}
    assert "bytes, but must be model/bytes <= 10" in decision["excluded"]["new"]
    assert aliases(here.root) == {"challenger": "2", "champion": "2"}
    assert variants(here.root) == {"1": "onnx_fp32", "2": "old", "3": "new"}
    assert "none: no variant meets register.policy" in capsys.readouterr().out
    last = [d for d in decisions(here.root) if isinstance(d, Challenge)][-1]
    assert (last.lineage, last.reason) == (None, decision["reason"])


def grow(here: Workspace, lost: Collection[int]) -> dict[str, Any]:
    """Other validation images, and a new variant that is wrong on some of them; returns the decision."""
    here.write_data("other")
    for variant in ("onnx_fp32", "old"):  # compress made them again, but the champion is the version before
        here.add(variant, generation="two", latency=9.0)
    here.add("new", wrong=lost, generation="two", latency=0.5)
    return here.register()


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "decision"), [(LOSS[:4], "champion"), (LOSS, "challenger")])
def test_a_champion_is_asked_again_about_images_that_it_was_not_judged_on(
    here: Workspace, lost: range, decision: str
) -> None:
    """Its stored answers, of which five were wrong, do not count: the model is right on today's images."""
    here.add("old", wrong=LOSS)
    here.register()
    made = grow(here, lost)
    assert made["decision"] == decision
    assert f"{len(lost)} lost and 0 won of 40 validation images" in made["promotion"]


@pytest.mark.slow
def test_the_answers_of_a_champion_that_is_asked_again_are_those_of_its_file(here: Workspace) -> None:
    here.add("old")
    here.register()
    shown = here.targets.copy()
    shown[60:63] = (shown[60:63] + 1) % 3
    here.write_data("other", shown)
    for variant in ("onnx_fp32", "old", "new"):
        here.add(variant, generation="two", latency=0.5 if variant == "new" else 9.0)
    assert "0 lost and 3 won of 40 validation images" in here.register()["promotion"]


def remove_images(here: Workspace) -> None:
    (here.folder / "data/ingest/images.npy").unlink()


def rename_class(here: Workspace) -> None:
    """In the data and in today's variants; the champion is of before."""
    for path in (here.folder / "data/ingest/report.json", *here.folder.glob("models/*/model.json")):
        path.write_text(path.read_text().replace('"dot"', '"point"'))


def enlarge(here: Workspace) -> None:
    """The images, and with them today's variants."""
    path = here.folder / "data/ingest/images.npy"
    np.save(path, np.repeat(np.load(path), 2, axis=3))
    for path in here.folder.glob("models/*/model.json"):
        spec = json.loads(path.read_text())
        spec["input"]["width"] *= 2
        path.write_text(json.dumps(spec))


def tamper(here: Workspace) -> None:
    client = connect(here.root).client
    version = client.get_model_version_by_alias("shapes", "champion")
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    path = Path(model.artifact_location, "artifacts/model/model.onnx")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (remove_images, "today's images are not in data/ingest"),
        (rename_class, "it was trained for other classes or for images of another size"),
        (enlarge, "it was trained for other classes or for images of another size"),
        (tamper, "its model is not in MLflow, or is not the one that was registered"),
    ],
)
def test_a_champion_that_cannot_be_asked_again_keeps_its_place(
    here: Workspace, monkeypatch: pytest.MonkeyPatch, change: Callable[[Workspace], None], reason: str
) -> None:
    here.add("old")
    here.register()
    register = here.register
    monkeypatch.setattr(here, "register", lambda: (change(here), register())[1])
    decision = grow(here, [])
    assert decision["decision"] == "challenger"
    assert f"not comparable with the champion: version 2, {reason}" in decision["promotion"]
    assert 'python -m src.register --promote VERSION --reason "…"' in decision["promotion"]


@pytest.mark.slow
def test_small_losses_do_not_add_up(here: Workspace) -> None:
    """Each new variant loses three more images, which is within the margin, but the third has lost six."""
    for count, latency in ((0, 3.0), (3, 2.0), (6, 1.0)):
        here.add(f"loses {count}", wrong=range(60, 60 + count), latency=latency)
        made = here.register()
    assert made["decision"] == "challenger"
    present, best = made["promotion"].split("; against version 2, the best of the earlier champions: ")
    assert present.startswith("against version 3: non-inferior: the loss in val/accuracy is 0.0750")
    assert best.startswith("not shown non-inferior: the loss in val/accuracy is 0.1500")
    assert aliases(here.root) == {"challenger": "4", "champion": "3"}


@pytest.mark.slow
def test_a_person_who_accepts_a_loss_sets_the_standard(here: Workspace) -> None:
    for count, latency in ((0, 3.0), (3, 2.0), (6, 1.0)):
        here.add(f"loses {count}", wrong=range(60, 60 + count), latency=latency)
        here.register()
    promote(here.root, "shapes", "4", "it must be quick")
    here.rows.pop("loses 0"), here.lineages.pop("loses 0")
    here.add("loses 7", wrong=range(60, 67), latency=0.5)
    made = here.register()
    assert made["decision"] == "champion"
    assert "against version 4: non-inferior" in made["promotion"]
    assert "earlier champions" not in made["promotion"]


def test_the_first_champion_is_judged_against_the_base(here: Workspace) -> None:
    """A quick variant that has lost ten of forty images is not chosen, and the base stays."""
    here.add_base(wrong=[])
    here.add("quick", wrong=range(60, 70), latency=0.1)
    made = here.register()
    assert (made["decision"], made["variant"]) == ("champion", "onnx_fp32")
    assert made["excluded"]["quick"].startswith(
        "not shown non-inferior to the base: the loss in val/accuracy is 0.2500 and at most 0.37"
    )
    assert made["reason"].startswith("it is the base as ONNX, because no variant meets the policy")
    assert made["promotion"] == "there was no champion; it is the base itself"


def test_too_few_images_are_named_with_the_number(
    here: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forty images cannot show a loss of two points, though the variant answers like the base."""
    here.configure(margin=0.02)
    here.add("quick", wrong=BASE_ERRORS, latency=0.1)
    made = here.register()
    assert (made["decision"], made["variant"]) == ("champion", "onnx_fp32")
    assert made["too_few_images"] == (
        "40 validation images cannot show that a variant loses less than 0.0634, even if no answer changes, "
        "but register.policy.margin is 0.02. Use at least 133 validation images, fewer variants or a wider "
        "margin"
    )
    assert "Too few images   40 validation images cannot show" in capsys.readouterr().out


@pytest.mark.slow
def test_a_champion_that_was_trained_on_todays_images_is_not_compared(here: Workspace) -> None:
    here.add("old")
    here.register()
    here.split[[0, VAL[0]]] = ["val", "train"]
    here.write_data()
    for variant, latency in (("onnx_fp32", 9.0), ("old", 1.0)):
        here.add(variant, latency=latency)
    here.add("new", latency=0.5)
    decision = here.register()
    assert decision["decision"] == "challenger"
    assert "version 2, it was trained on 1 of today's 40 validation images" in decision["promotion"]


def test_a_challenger_that_was_trained_on_todays_images_is_not_compared(here: Workspace) -> None:
    here.add("old")
    here.register()
    path = here.folder / "data/ingest/manifest.parquet"
    manifest = pd.read_parquet(path)
    manifest.loc[0, "sha256"] = manifest.loc[VAL[0], "sha256"]  # a copy, in the training split
    manifest.to_parquet(path)
    here.add("new", latency=0.5)
    decision = here.register()
    assert decision["decision"] == "challenger"
    assert "version 3, it was trained on 1 of today's 40 validation images" in decision["promotion"]


@pytest.mark.slow
def test_a_champion_without_evidence_keeps_its_place_until_a_person_decides(here: Workspace) -> None:
    here.add("old")
    here.register()
    for registration in [d for d in decisions(here.root) if isinstance(d, Registration)]:
        shutil.rmtree(here.root / ".assay/journal/registry" / registration.evidence)
    track(here.root, rebuild=True)
    here.rows.clear(), here.lineages.clear()
    here.add_base()
    here.add("new", wrong=LOSS[:1], latency=0.5)
    assert (
        "version 2, the list of the images that it was trained on is missing" in here.register()["promotion"]
    )
    assert str(promote(here.root, "shapes", "3", "better")[0]) == "shapes version 3 (challenger, champion)"


@pytest.mark.slow
def test_a_version_that_somebody_deleted_stays_deleted_until_it_is_registered_again(here: Workspace) -> None:
    here.add("old", latency=2.0)
    here.register()
    here.add("new", latency=1.0)
    here.register()
    client = connect(here.root).client
    client.delete_model_version("shapes", "3")
    track(here.root)
    assert (variants(here.root), aliases(here.root)) == ({"1": "onnx_fp32", "2": "old"}, {})
    assert str(rollback(here.root, "shapes")[0]) == "shapes version 2 (champion)"
    assert here.register()["decision"] == "champion"
    assert variants(here.root) == {"1": "onnx_fp32", "2": "old", "4": "new"}
    assert aliases(here.root) == {"challenger": "4", "champion": "4"}
    assert registry(here.root)["history"] == "2,4"


@pytest.mark.slow
def test_the_summary_has_the_metrics_of_the_champion(here: Workspace) -> None:
    here.add("old", latency=2.0)
    here.register()
    here.add("worse", wrong=LOSS, latency=1.0)
    assert here.register()["decision"] == "challenger"
    summary = json.loads((here.folder / "output/summary.json").read_text())
    assert summary == {"champion": 1.0, "latency_ms": 2.0}


@pytest.mark.slow
def test_the_registry_is_that_of_the_tracking_store(
    here: Workspace, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLFLOW_REGISTRY_URI counts only if both variables are set."""
    team, tracking = tmp_path / "registry.db", tmp_path / "tracking.db"
    for path in (team, tracking):
        path.write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{team}")
    here.add("quick")
    assert here.register()["decision"] == "champion"
    assert aliases(here.root) == {"challenger": "2", "champion": "2"}
    assert os.environ["MLFLOW_REGISTRY_URI"] == f"sqlite:///{team}"
    assert registered(team) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracking}")
    assert here.register()["decision"] == "challenger"
    assert (registered(team), registered(tracking)) == (["shapes"], [])


def registered(path: Path) -> list[str]:
    """The registered models in a database."""
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM registered_models")]


@pytest.mark.slow
def test_the_alias_stays_where_people_put_it_until_the_next_decision(here: Workspace) -> None:
    here.add("old")
    here.register()
    here.add("new", latency=0.5)
    here.register()
    client = connect(here.root).client
    client.set_registered_model_alias("shapes", "champion", "2")
    track(here.root)  # the decisions were carried out before
    assert aliases(here.root)["champion"] == "2"
    assert here.register()["promotion"].startswith("against version 2: non-inferior")
    assert aliases(here.root)["champion"] == "3"
    assert registry(here.root)["history"] == "2,3,2,3"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "decision", "reason"),
    [
        ("embedded", "challenger", "this is a team's server, and register.promote is embedded"),
        ("auto", "champion", "there was no champion; non-inferior to the base"),
        ("never", "challenger", "register.promote is never"),
    ],
)
def test_on_a_teams_server(here: Workspace, server: str, mode: str, decision: str, reason: str) -> None:
    here.configure(promote=mode)
    here.add("quick")
    made = here.register()
    assert made["decision"] == decision
    assert made["promotion"].startswith(reason)
    assert ("champion" in aliases(here.root)) == (decision == "champion")
    assert aliases(here.root)["challenger"] == "2"


@pytest.mark.slow
def test_what_was_promoted_here_is_only_a_challenger_on_a_teams_server(
    here: Workspace, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.add("quick")
    assert here.register()["decision"] == "champion"
    (tmp_path / "team.db").write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'team.db'}")
    track(here.root)
    assert aliases(here.root) == {"challenger": "2"}
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert aliases(here.root) == {"challenger": "2", "champion": "2"}
    assert rulings(here.root) == [(True, "rule"), (False, "rule")]


@pytest.mark.slow
def test_what_is_decided_during_an_outage_is_ruled_on_afterwards_by_the_same_rule(
    here: Workspace, server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here.configure(promote="auto")
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        for variant, wrong, latency in [("old", [], 3.0), ("good", LOSS[:4], 2.0), ("bad", MORE, 1.0)]:
            here.add(variant, wrong=wrong, latency=latency)
            decision = here.register()
            assert decision["decision"] == "challenger"
            assert decision["promotion"].startswith("not decided yet, because MLflow does not answer")
    assert "decided, but not in MLflow yet (python -m src.track)" in capsys.readouterr().out
    assert rulings(here.root) == []
    track(here.root)
    assert aliases(here.root) == {"challenger": "4", "champion": "3"}
    assert registry(here.root)["history"] == "2,3"
    assert rulings(here.root) == [(True, "rule"), (True, "rule"), (False, "rule")]
    assert (
        "against version 3: not shown non-inferior"
        not in registry(here.root)["versions"]["3"][1]["promotion.reason"]
    )
    before = registry(here.root), decisions(here.root)
    track(here.root)
    assert (registry(here.root), decisions(here.root)) == before


@pytest.mark.slow
def test_a_later_word_of_a_team_mate_holds_and_its_evidence_is_read_from_the_server(
    here: Workspace, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mate = Workspace(tmp_path / "mate", tmp_path / "workspace of the mate", monkeypatch)
    mate.configure(promote="auto", constraints=[])
    mate.add("theirs")
    assert mate.register()["decision"] == "champion"
    monkeypatch.chdir(here.folder)
    here.configure(promote="auto")
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        here.add("early", latency=0.5)
        here.register()
    monkeypatch.setattr(circuit_breaker, "circuit", CircuitBreaker())
    promote(mate.root, "shapes", "2", "a word while we were offline")  # champion already: nothing is written
    mate.add("later", generation="two", latency=0.1)
    monkeypatch.chdir(mate.folder)
    assert mate.register()["decision"] == "champion"
    track(here.root)
    assert variants(here.root)[aliases(here.root)["champion"]] == "later"
    early = next(tags for _, tags in registry(here.root)["versions"].values() if tags["variant"] == "early")
    assert early["promotion.reason"] == "version 3 was made champion after this was decided"
    monkeypatch.chdir(here.folder)
    here.add("ours", wrong=LOSS, latency=0.2)
    here.configure(optimize="speed/latency_p50_ms")
    here.speeds["early"]["speed/latency_p50_ms"] = 9.0
    monkeypatch.setattr(circuit_breaker, "circuit", CircuitBreaker())
    made = here.register()
    assert made["promotion"].startswith("against version 3: not shown non-inferior")


@pytest.mark.slow
def test_a_person_promotes_and_rolls_back(here: Workspace) -> None:
    here.add("a", latency=3.0)
    here.register()
    here.add("b", latency=2.0)
    here.register()
    here.add("c", wrong=LOSS, latency=1.0)
    assert here.register()["decision"] == "challenger"
    version, news = promote(here.root, "shapes", "4", "  the customer wants it small ")
    assert (str(version), news) == ("shapes version 4 (challenger, champion)", True)
    _, tags = registry(here.root)["versions"]["4"]
    assert (tags["promotion.by"], tags["promotion.reason"]) == ("person", "the customer wants it small")
    count = len(decisions(here.root))
    assert promote(here.root, "shapes", "4", "again")[1] is False
    assert len(decisions(here.root)) == count
    assert registry(here.root)["history"] == "2,3,4"
    assert str(rollback(here.root, "shapes")[0]) == "shapes version 3 (champion)"
    _, tags = registry(here.root)["versions"]["3"]
    assert (tags["promotion.by"], tags["promotion.reason"]) == ("rollback", "rolled back from version 4")
    assert str(rollback(here.root, "shapes", "worse still")[0]) == "shapes version 2 (champion)"
    with pytest.raises(AssayError, match=r"shapes cannot be rolled back: version 2 is the first champion"):
        rollback(here.root, "shapes")
    before = registry(here.root)
    assert before["history"] == "2"
    track(here.root)
    assert registry(here.root) == before
    _, versions = track(here.root, rebuild=True)
    assert registry(here.root) == before
    told = [str(version) for version in versions]  # those whose aliases were set again
    assert told == ["shapes version 2 (champion)", "shapes version 4 (challenger)"]


def test_a_promotion_needs_a_reason_and_an_existing_version(here: Workspace) -> None:
    here.add("a")
    with pytest.raises(AssayError, match=r"has no version 2\. Its versions: none yet \(dvc repro register\)"):
        promote(here.root, "shapes", "2", "because")
    here.register()
    with pytest.raises(
        AssayError, match=r"has no version 10\. Its versions: 1 \(onnx_fp32\), 2 \(a, challenger, champion\)"
    ):
        promote(here.root, "shapes", "10", "because")
    with pytest.raises(AssayError, match=r'--promote needs a reason.*--reason "…"'):
        promote(here.root, "shapes", "2", "  ")


@pytest.mark.slow
def test_the_command(
    here: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here.add("a", latency=2.0)
    here.register()
    here.add("b", wrong=LOSS, latency=1.0)
    here.register()
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DVC_ROOT", str(here.root))

    def register(*arguments: str) -> tuple[object, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["register", *arguments, "register.name=shapes"])
        with pytest.raises(SystemExit) as ended:
            change_champion(parse_arguments("register", None, add_options))
        return ended.value.code, *capsys.readouterr()

    assert register("--promote", "3", "--reason", "small") == (
        0, "shapes version 3 (challenger, champion)\n", ""
    )  # fmt: skip
    assert register("--promote", "3", "--reason", "small")[:2] == (
        0, "shapes version 3 (challenger, champion): already champion, nothing changed\n"
    )  # fmt: skip
    assert register("--rollback") == (0, "shapes version 2 (champion)\n", "")
    known = "1 (onnx_fp32), 2 (a, champion), 3 (b, challenger)"
    unknown = f"\nregister failed: shapes has no version 8. Its versions: {known}\n"
    assert register("--promote", "8", "--reason", "x") == (1, "", unknown)
    assert "--promote needs a reason" in register("--promote", "3")[2]
    assert "exclude each other" in register("--promote", "3", "--rollback")[2]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "MLflow at http://127.0.0.1:9 failed" in register("--rollback")[2]


@pytest.mark.slow
def test_a_line_that_was_cut_short_is_no_decision(here: Workspace) -> None:
    here.add("a")
    here.register()
    before = decisions(here.root)
    assert [type(decision) for decision in before] == [Registration, Registration, Challenge, Ruling]
    with (here.root / ".assay/journal/registry.jsonl").open("a") as file:
        file.write('{"kind": "ruling", "name": "sha')
    assert decisions(here.root) == before


@pytest.mark.prove
def test_a_variant_from_the_cache_is_registered_though_the_journal_did_not_see_it_made(
    here: Workspace,
) -> None:
    make_variant(here.folder / "models/quick", "quick")
    here.add("quick", journal=False)
    here.register()
    assert aliases(here.root) == {"challenger": "2", "champion": "2"}
    before = registry(here.root)
    track(here.root, rebuild=True)
    assert registry(here.root) == before
    client = connect(here.root).client
    run = client.get_run(client.get_model_version_by_alias("shapes", "champion").run_id)
    base = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert (run.data.tags["lineage.id"], base.data.tags["lineage.id"]) == (
        lineage_of("quick one"), lineage_of("one")
    )  # fmt: skip
