"""The configuration: one library, one composition, all faults at once."""

import ast
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from ruamel.yaml import YAML

from src.compose import _run as _run_compose
from src.config import schema
from src.config.dotted_keys import differing_keys, flatten, set_dotted
from src.config.fields import schema_fields
from src.config.loading import compose, compose_text, group_choices, load, read_params
from src.config.validation import validate_config
from src.core.errors import AssayError
from src.core.yaml12 import load_yaml
from src.search.engine.trial_configs import TrialConfigs
from tests.support.training_tasks import model_names, model_section
from tests.support.workspaces import ROOT

FLIP = "{name: flip, axis: horizontal, p: 0.5}"
BY_FIELD = ("space.", "proxy.", "objectives.")  # mappings of fields, explained as a whole


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_composition_equals_that_of_dvc(tmp_path):
    from dvc.utils.hydra import compose_and_dump

    overrides = ["experiment=fashion_mnist", "train.epochs=3"]
    compose_and_dump(str(tmp_path / "params.yaml"), str(ROOT / "conf"), None, "config", "", overrides)
    assert compose_text(overrides) == (tmp_path / "params.yaml").read_text()


def test_committed_parameters_are_the_default_composition():
    assert differing_keys(read_params(), compose()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_every_choice_of_conf_is_valid(path):
    if path.parent.name == "conf":
        overrides = []
    elif path.stem in ("csv", "image_folder"):
        overrides = [f"data={path.stem}", "data.name=cats"]
    else:
        group = path.parent.name.removeprefix("for_")  # for_model: which brings what suits it
        overrides = [f"{group}={path.stem}"]
    if path.stem == "pretrained":  # its statistics are those of weights
        overrides += ["model.weights=mine.safetensors"]
    assert validate_config(compose(overrides), "conf/").seed == 0


@pytest.mark.prove
@pytest.mark.parametrize("model", model_names())
def test_every_model_is_valid_with_every_experiment(model):
    for experiment in ("null", *(path.stem for path in (ROOT / "conf/experiment").glob("*.yaml"))):
        config = load([f"model={model}", f"experiment={experiment}"]).config
        assert config.model == model_section(model), experiment


@pytest.mark.parametrize("group", ["model", "data"])
def test_every_file_that_suits_one_choice_is_named_after_it(group):
    suited = list((ROOT / "conf").glob(f"*/for_{group}/*.yaml"))
    assert suited and {path.stem for path in suited} <= set(group_choices(group))


def by_dvc(folder, *overrides):
    """What ``dvc exp run -S …`` composes."""
    from dvc.utils.hydra import compose_and_dump

    path = folder / "params.yaml"
    compose_and_dump(str(path), str(ROOT / "conf"), None, "config", "", list(overrides))
    return load_yaml(path.read_text())


def test_a_model_or_a_data_set_brings_what_suits_it(tmp_path):
    probe = by_dvc(tmp_path, "model=linear_probe", "experiment=fashion_mnist")
    assert (probe["augment"]["operations"], probe["normalize"]["method"]) == ([], "pretrained")
    mixer = by_dvc(tmp_path, "model=mlp_mixer")
    assert mixer["train"]["optimizer"]["lr"] == 0.001
    assert mixer["sweep"]["space"]["train.optimizer.lr"] == "tag(log, interval(0.0003, 0.003))"
    clothing = by_dvc(tmp_path, "data=fashion_mnist")
    assert [each["name"] for each in clothing["augment"]["operations"]] == ["crop", "flip", "erase"]


@pytest.mark.parametrize("before", [[], ["experiment=fashion_mnist"]])
def test_a_group_on_the_command_line_wins_over_what_suits_a_model_or_a_data_set(tmp_path, before):
    mixer = by_dvc(tmp_path, *before, "model=mlp_mixer", "sweep=grid")
    assert mixer["sweep"]["space"]["train.optimizer.lr"] == "choice(0.001, 0.002, 0.004, 0.008)"
    assert by_dvc(tmp_path, *before, "model=svm", "normalize=standard")["normalize"]["method"] == "standard"
    assert by_dvc(tmp_path, *before, "data=fashion_mnist", "augment=none")["augment"]["operations"] == []


@pytest.mark.parametrize("model", ["linear_probe", "svm", "knn"])
@pytest.mark.parametrize("before", [[], ["experiment=fashion_mnist"]])
def test_augmentation_asked_of_a_classifier_on_features_is_refused_with_the_reason(model, before):
    with pytest.raises(
        AssayError, match=rf"operations: must be \[\] with model.kind={model}, which sees each image once"
    ):
        load([*before, f"model={model}", "augment=light"])


@pytest.mark.parametrize("kind", sorted(path.stem for path in (ROOT / "conf/debug").glob("*.yaml")))
@pytest.mark.parametrize("sign", ["", "+"])
def test_dvc_composes_no_debug_run(tmp_path, kind, sign):
    """The first stage would refuse it, but only after DVC has removed what that had made."""
    assert load([f"debug={kind}"]).config.debug.kind == kind
    OmegaConf.clear_resolver("only_for_src_train")  # as in DVC's own process
    with pytest.raises(Exception, match=r"only_for_src_train|To override a value use 'override debug"):
        by_dvc(tmp_path, f"{sign}debug={kind}")
    assert not (tmp_path / "params.yaml").exists()


@pytest.mark.parametrize("group", ["train", "sweep"])
def test_a_choice_of_ones_own_wins_over_what_suits_a_model(tmp_path, monkeypatch, group):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    own = {"train": "optimizer: {lr: 0.007}", "sweep": "space: {train.optimizer.lr: 'choice(0.007)'}"}[group]
    (tmp_path / f"conf/{group}/own.yaml").write_text(f"defaults: [default, _self_]\n{own}\n")
    monkeypatch.chdir(tmp_path)
    values = compose([f"{group}=own", "model=vit_tiny"])
    found = {
        "train": values["train"]["optimizer"]["lr"],
        "sweep": values["sweep"]["space"]["train.optimizer.lr"],
    }
    assert found == {"train": 0.001, "sweep": "tag(log, interval(0.0003, 0.003))"} | {
        group: {"train": 0.007, "sweep": "choice(0.007)"}[group]
    }


def test_null_takes_a_field_out_of_the_search():
    before, after = (
        load(changes).config.sweep.space for changes in ([], ["+sweep.space={model.dropout: null}"])
    )
    assert before.keys() - after.keys() == {"model.dropout"} and len(after) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("linear_probe", {"model.C"}),
        ("svm", {"model.C", "model.kernel"}),
        ("knn", {"model.k", "model.metric"}),
    ],
)
def test_the_fields_of_a_head_are_searched_and_more_can_be_added(model, fields):
    assert set(TrialConfigs(load([f"model={model}"])).space.domains) == fields
    more = "+sweep.space={train.temperature_scaling: 'choice(true, false)'}"
    searched = TrialConfigs(load([f"model={model}", more])).space.domains
    assert set(searched) == fields | {"train.temperature_scaling"}


def test_all_faults_are_reported_together_each_with_its_key():
    values = compose()
    values["train"]["epochs"] = 0
    values["train"]["optimizer"]["lr"] = "fast"
    values["train"]["epoch"] = 3
    values["model"]["widths"] = [32, "64"]
    values["split"]["test"] = 0.9
    values["compress"]["variants"]["int8_static"]["steps"][1]["images"] = 0
    values["train"]["gradient_clip_val"] = float("inf")
    values["register"]["policy"]["margin"] = 2
    values["data"]["channels"] = 2
    with pytest.raises(AssayError) as caught:
        validate_config(values, "params.yaml")
    message = str(caught.value)
    for fault in (
        "train.epochs=0: expected at least 1",
        "train.optimizer.lr=fast: expected a number",
        "train.epoch: is not a known key (did you mean train.epochs?)",
        "model.widths.1='64': expected an integer",
        "split.test: val + test must be below 1, but got 0.15 + 0.9",
        "compress.variants.int8_static.steps.1.images=0: expected at least 1",
        "train.gradient_clip_val=.inf: expected a finite number",
        "register.policy.margin: must be above 0 and below 1, in the unit of val/accuracy, where 0.02 is two",
        "data.channels=2: expected 1 or 3",
    ):
        assert fault in message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.optimizer.name=sdg"], "train.optimizer.name: must be one of adabelief, "),
        (["seed=-1"], "seed=-1: expected at least 0"),
        (["model.kind=vgg"], "model.kind=vgg: expected cnn, plain_cnn, mlp, rnn, lenet, timm, torchvision, "),
        (["train.patience=3"], "train.patience: must be 0 with train.schedule.name=one_cycle"),
        (["train.schedule.warmup=1.5"], "train.schedule.warmup=1.5: expected below 1.0"),
        (
            ["augment.operations=[{name: hue, strength: 0.1}]"],
            "augment.operations: hue need color, but data.channels=1",
        ),
        (
            ["model=svm", "model.weights=null", "normalize.method=none"],
            "model.weights: must name weights with model.kind=svm",
        ),
        (["model=knn", "model.k=0"], "model.k=0: expected at least 1"),
        (["model=svm", "model.gamma=0.0"], "model.gamma=0.0: expected scale or above 0"),
        (
            ["model=svm", f"augment.operations=[{FLIP}]"],
            "augment.operations: must be [] with model.kind=svm",
        ),
        (["model=svm", "train.sampler=balanced"], "train.sampler: must be shuffle with model.kind=svm"),
        (["model=svm", "train.mixup=0.2"], "train.mixup: must be 0 with model.kind=svm, but got 0.2"),
        (
            ["model=svm", "train.finetune.layers=last"],
            "train.finetune.layers: must be all with model.kind=svm, but got last",
        ),
        (
            ["model=knn", "train.class_weights=balanced"],
            "train.class_weights: must be none with model.kind=knn, but got balanced",
        ),
        (
            ["augment.operations=[{name: scale, low: 2.0, high: 1.0}]"],
            "must be at least low=2.0, but got 1.0",
        ),
        (["augment.operations=[{name: spin}]"], "augment.operations.0.name=spin: expected crop, "),
        (
            ["compress.variants.onnx_fp32.steps=[]"],
            "compress.variants.onnx_fp32.steps=[]: expected at least 1 entry",
        ),
        (
            ["~compress.variants.onnx_fp32"],
            "compress.variants: must include onnx_fp32, the base model as ONNX",
        ),
        (
            ["compress.variants.onnx_fp32.steps=[{name: export},{name: quantize_dynamic,per_channel: true}]"],
            "Add onnx_fp32: {steps: [{name: export}]}",
        ),
        (["data.name=../elsewhere"], "data.name=../elsewhere: expected letters, digits"),
    ],
)
def test_bad_overrides_are_refused_with_rule_and_value(overrides, message):
    with pytest.raises(AssayError) as caught:
        load(overrides)
    assert message in str(caught.value)


EXPORT, STATIC = (
    {"name": "export"},
    {"name": "quantize_static", "images": 9, "calibration": "minmax", "per_channel": True},
)
DYNAMIC, FINETUNE = (
    {"name": "quantize_dynamic", "per_channel": True},
    {"name": "finetune", "epochs": 1, "lr": 0.1},
)
QAT = {"name": "quantize_aware_train", "epochs": 1, "lr": 0.1}
MASKS = {"name": "prune_unstructured", "ratio": 0.5, "criterion": "magnitude"}
CHANNELS = {"name": "prune_structured", "ratio": 0.5, "criterion": "magnitude", "iterations": 1}
STUDENT = {"name": "distill", "student": {}, "epochs": 1, "lr": 0.1, "temperature": 1.0, "alpha": 0.5}
ENSEMBLE, TTA = {"name": "ensemble", "members": 2}, {"name": "tta", "views": [{"name": "original"}]}
FLIP, STILL = {"name": "flip", "axis": "vertical"}, {"name": "shift", "right": 0, "down": 0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([FINETUNE], "must have export exactly once, but got finetune"),
        ([EXPORT, EXPORT], "must have export exactly once, but got export, export"),
        ([STATIC, CHANNELS, EXPORT], "quantize_static must come after export: it takes an ONNX model"),
        ([EXPORT, CHANNELS], "prune_structured cannot come after export: it takes a torch model"),
        ([EXPORT, DYNAMIC, STATIC], "only one of the quantize steps can follow export"),
        (
            [QAT, CHANNELS, EXPORT],
            "prune_structured cannot come after quantize_aware_train: the network is already int8",
        ),
        (
            [QAT, EXPORT, STATIC],
            "quantize_static cannot come after quantize_aware_train: the network is already int8",
        ),
        ([MASKS, CHANNELS, EXPORT], "prune_structured cannot come after prune_unstructured: its masks would"),
        ([MASKS, QAT, EXPORT], "quantize_aware_train cannot come after prune_unstructured: it does not keep"),
        ([CHANNELS, STUDENT, EXPORT], "starts with a new network and discards what prune_structured did"),
        (
            [{"name": "prune", "ratio": 0.5}, EXPORT],
            "steps.0.name=prune: expected prune_unstructured, prune_structured",
        ),
        ([MASKS | {"ratio": 1.0}, EXPORT], "steps.0.ratio=1.0: expected below 1.0"),
        ([CHANNELS | {"ratio": 0.0}, EXPORT], "steps.0.ratio=0.0: expected above 0.0"),
        ([STATIC | {"calibration": "mean"}, EXPORT], "steps.0.calibration=mean: expected minmax, entropy"),
        (
            [FINETUNE, ENSEMBLE, EXPORT],
            "ensemble must come first: it trains networks like the base, without what finetune does",
        ),
        ([ENSEMBLE, ENSEMBLE, EXPORT], "ensemble must come first"),
        *(
            (
                [ENSEMBLE, step, EXPORT],
                f"{step['name']} cannot come after ensemble: it works on one network, and an ensemble has",
            )
            for step in (MASKS, CHANNELS, FINETUNE, STUDENT | {"student": None}, QAT)
        ),
        *(
            (
                [TTA, step, EXPORT],
                f"{step['name']} cannot come after tta: views are for a finished network: put tta after it",
            )
            for step in (MASKS, CHANNELS, FINETUNE, STUDENT | {"student": None}, QAT)
        ),
        ([TTA, ENSEMBLE, EXPORT], "ensemble must come first"),
        ([TTA, TTA, EXPORT], "tta cannot come after tta: one step has all the views"),
        ([EXPORT, TTA], "tta cannot come after export: it takes a torch model"),
        ([ENSEMBLE | {"members": 1}, EXPORT], "steps.0.members=1: expected at least 2"),
        ([TTA | {"views": []}, EXPORT], "steps.0.views=[]: expected at least 1 entry"),
        ([TTA | {"views": [FLIP, FLIP]}, EXPORT], "{name: flip, axis: vertical} comes twice"),
        ([TTA | {"views": [STILL]}, EXPORT], "views.0.down: must not be 0 where right is 0"),
    ],
)
def test_a_chain_that_makes_no_sense_is_refused_by_name(steps, message):
    values = compose()
    values["compress"]["variants"]["mine"] = {"steps": steps}
    with pytest.raises(AssayError) as caught:
        validate_config(values, "params.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "steps",
    [
        [CHANNELS, FINETUNE, CHANNELS, FINETUNE, EXPORT, STATIC],
        [CHANNELS, QAT, EXPORT],
        [MASKS, FINETUNE, EXPORT, DYNAMIC],
        [ENSEMBLE, TTA, EXPORT, STATIC],
        [CHANNELS, QAT, TTA, EXPORT],
        [TTA | {"views": [{"name": "shift", "right": 0, "down": -1}, FLIP]}, EXPORT, DYNAMIC],
    ],
)
def test_steps_are_chained_at_will(steps):
    values = compose()
    values["compress"]["variants"]["mine"] = {"steps": steps}
    found = validate_config(values, "params.yaml").compress.variants["mine"].steps
    assert [step.name for step in found] == [step["name"] for step in steps]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["params.yaml", "conf/compress/default.yaml"])
def test_a_variant_that_is_named_twice_is_refused(tmp_path, monkeypatch, place):
    """YAML would let the second one win without a word."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    path = Path(place)
    text = path.read_text()
    again = text[text.index("onnx_fp32:") :].splitlines()[0]
    indent = "    " if place == "params.yaml" else "  "
    path.write_text(
        text.replace(f"{indent}onnx_fp32:\n", f"{indent}{again}\n{indent}  steps: []\n{indent}onnx_fp32:\n")
    )
    with pytest.raises(AssayError, match="duplicate key onnx_fp32"):
        load() if place == "params.yaml" else load(["seed=1"])


@pytest.mark.parametrize("text", ["", "seed: [", "- 1\n", "\x00", "just words"])
def test_an_invalid_params_file_is_an_error_that_names_the_fix(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text)
    with pytest.raises(AssayError, match=r"params\.yaml .*(\n.*)*python -m src\.compose"):
        load()


@pytest.mark.parametrize("kind", ["one_batch", "anomaly"])
def test_params_never_have_a_section_debug(tmp_path, monkeypatch, kind):
    assert load([f"debug={kind}"]).config.debug.kind == kind
    assert load(["debug=null"]).config.debug is None
    monkeypatch.chdir(tmp_path)
    Path("conf").symlink_to(ROOT / "conf")
    Path("params.yaml").write_text(compose_text([f"debug={kind}"]))  # as dvc exp run -S debug=… writes it
    advice = rf"debug={kind}, which is for ad-hoc runs: python -m src\.train debug={kind}.*src\.compose"
    with pytest.raises(AssayError, match=advice):
        load()
    with pytest.raises(AssayError, match=advice):
        _run_compose([f"debug={kind}"], False, None)
    assert "debug" in read_params(), "nothing was written"
    _run_compose([], False, None)
    assert load().config.debug is None


def test_a_missing_params_file_is_an_error_that_names_the_fix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssayError, match=r"params\.yaml is missing .*python -m src\.compose"):
        load()


def test_overrides_compose_from_conf_and_do_not_touch_params():
    before = Path("params.yaml").read_bytes()
    loaded = load(["train.epochs=3"])
    assert loaded.is_ad_hoc and loaded.config.train.epochs == 3
    assert Path("params.yaml").read_bytes() == before


def test_check_names_each_differing_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("conf").symlink_to(ROOT / "conf")
    values = OmegaConf.create(compose_text())
    values.train.epochs = 7
    values.model.dropout = 0.5
    OmegaConf.save(values, "params.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "src.compose", "--check"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout.split()) == (1, ["model.dropout", "train.epochs"])


def test_a_refused_composition_leaves_params_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("conf").symlink_to(ROOT / "conf")
    Path("params.yaml").write_text("seed: 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "src.compose", "train.epochs=0"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1 and "train.epochs=0: expected at least 1" in done.stderr
    assert [path.name for path in tmp_path.glob("params*")] == ["params.yaml"]
    assert Path("params.yaml").read_text() == "seed: 1\n"


def test_every_leaf_of_conf_is_read_by_code():
    """Each field of the schema is the name of an attribute that some code outside the schema reads, or
    an argument of the augmentation of that name."""
    from src.data.loading.augmentation import CHANGES

    read = {name for change in CHANGES.values() for name in inspect.signature(change).parameters}
    for path in (ROOT / "src").rglob("*.py"):
        if path.name != "schema.py":
            tree = ast.walk(ast.parse(path.read_text()))
            read |= {node.attr for node in tree if isinstance(node, ast.Attribute)}
    sections = [kind for kind in vars(schema).values() if isinstance(kind, type)]
    leaves = {leaf for kind in sections if issubclass(kind, schema.Section) for leaf in kind.model_fields}
    assert leaves - read == set()


def test_every_leaf_of_conf_has_a_comment_with_unit_or_choices():
    bare = []
    for path in (ROOT / "conf").rglob("*.yaml"):
        if path.parent.name in ("experiment", "augment", "conf"):  # they repeat fields explained elsewhere
            continue
        text = path.read_text()
        for key, value in flatten(OmegaConf.to_container(OmegaConf.load(path), resolve=False)):
            leaf = key.split(".")[0 if key.startswith(BY_FIELD) else -1]
            said = any(f"{leaf}:" in line and "#" in line for line in text.splitlines())
            if not (said or isinstance(value, (bool, list)) or leaf in ("kind", "alias", "name")):
                bare.append(f"{path.parent.name}/{path.stem}: {key}")
    assert bare == []


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (("seed: 0\n", "seed: 010\n"), None),
        (("batch_norm: true", "batch_norm: off"), r"model\.batch_norm='off': expected true or false"),
        (("seed: 0\n", "seed: 0o10\n"), None),
    ],
)
def test_params_yaml_is_read_as_dvc_reads_it(tmp_path, monkeypatch, edit, error):
    """DVC records in dvc.lock what YAML 1.2 says; a stage must not use what YAML 1.1 says."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "params.yaml").read_text()
    assert edit[0] in text
    Path("params.yaml").write_text(text.replace(*edit))
    if error:
        with pytest.raises(AssayError, match=error):
            load()
    else:
        assert load().config.seed == YAML(typ="safe").load(Path("params.yaml").read_text())["seed"] != 0


def test_missing_packages_are_named_when_the_settings_are_composed(monkeypatch):
    monkeypatch.setattr(
        "src.config.packages.find_spec", lambda name: None if name in ("wandb", "nowhere") else 1
    )
    wanted = ["machine.loggers=[csv,wandb]", "train.callbacks=[{class_path: nowhere.Callback}]"]
    with pytest.raises(AssayError) as caught:
        load(wanted)
    assert "machine.loggers names wandb, but the package wandb is missing" in str(caught.value)
    assert "train.callbacks[0].class_path=nowhere.Callback: the package nowhere is not" in str(caught.value)
    assert load(["machine.loggers=[csv]"]).config.machine.loggers == ["csv"]


REFUSED = {
    "sweep.n_jobs=0": "sweep.n_jobs=0: expected auto or at least 1",
    "sweep.n_jobs=many": "sweep.n_jobs=many: expected auto or an integer",
    "machine.device=mps": "machine.device=mps: expected auto, cpu, cuda or cuda:N",
    "sweep.storage=x": "sweep.storage=x: expected embedded, or the URL of a database such as postgresql://",
    "sweep.study=../x": "sweep.study=../x: expected letters, digits, ",
    "train.epochs=null": "train.epochs=null: expected an integer",
    "model.widths=[]": "model.widths=[]: expected at least 1 entry",
    "data.image_size=[8]": "data.image_size=[8]: expected at least 2 entries",
    "train.optimizer.weight_decay=inf": "train.optimizer.weight_decay=.inf: expected a finite number",
    "train.schedule.warmup=true": "train.schedule.warmup=true: expected a number",
    "machine.loggers=[x]": "machine.loggers.0=x: expected csv, tensorboard or wandb",
    "machine.device=cuda": "machine.device: must be auto or cpu with train.precision=portable "
    "(or train.precision=auto), but got cuda",
    "sweep.threads=2": "sweep.threads: must be 1 with train.precision=portable (or train.precision=auto)",
}


def set_to(text):
    """The default configuration with one override, and nothing of Hydra."""
    key, _, value = text.partition("=")
    return set_dotted(read_params(), {key: load_yaml(value)})


@pytest.mark.parametrize("text", REFUSED)
def test_a_refused_value_is_shown_as_one_writes_it_with_what_was_expected(text):
    with pytest.raises(AssayError) as caught:
        validate_config(set_to(text.replace("inf", ".inf")), "params.yaml")
    (line,) = str(caught.value).splitlines()[1:-1]
    assert line.strip().startswith(REFUSED[text])


def test_no_field_is_explained_by_a_regular_expression():
    """Every pattern of the schema has words."""
    assert [field.key for field in schema_fields() if re.search(r"[\^\\]", field.type)] == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["normalize=pretrained"], "model.weights: must name weights to start from"),
        (["model.weights=imagenet"], "model.weights: imagenet is for timm models"),
        (
            ["train.finetune.layers=head"],
            "train.finetune.layers: head keeps weights that were trained before",
        ),
    ],
)
def test_what_needs_weights_is_refused_without_them(overrides, message):
    with pytest.raises(AssayError, match=re.escape(message)):
        validate_config(compose(overrides), "conf/")
