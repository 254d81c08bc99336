"""Starting from weights in a file: what is adapted, what is refused, and that nothing else runs."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from pydantic import TypeAdapter
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import nn

from src.config.schema.model import ModelConfig
from src.core.errors import AssayError
from src.core.files import write_json
from src.core.hashing import file_hash
from src.models.build import build_model
from src.models.normalization import NormalizedModel
from src.pretrained.download import fetch_imagenet_weights
from src.pretrained.files import find_weights, pretrained_normalization
from src.pretrained.loading import load_weights

CNN = {
    "kind": "cnn",
    "weights": None,
    "widths": [4, 8],
    "kernel_size": 3,
    "activation": "relu",
    "pooling": "max",
    "batch_norm": True,
    "dropout": 0.0,
}


def model(**fields) -> ModelConfig:
    return TypeAdapter(ModelConfig).validate_python(fields)


def timm_model(name: str, weights: str | None = "imagenet", **fields) -> ModelConfig:
    standard = {"kind": "timm", "stem": "standard", "dropout": 0.0, "drop_path": 0.0}
    return model(**standard | {"name": name, "weights": weights} | fields)


def saved(network: nn.Module, path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return path


def random_network(name: str, **options) -> nn.Module:
    torch.manual_seed(1)
    return timm.create_model(name, pretrained=False, **options)


@pytest.mark.slow
def test_all_but_the_head_is_loaded_and_a_head_for_other_classes_starts_from_zeros(tmp_path):
    source = random_network("test_resnet")
    path = saved(source, tmp_path / "test_resnet.safetensors")
    network = build_model(timm_model("test_resnet"), 3, 5, (64, 64))
    notes = load_weights(network, path)
    own, theirs = network.state_dict(), source.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in theirs if not name.startswith("fc."))
    assert own["fc.weight"].shape == (5, theirs["fc.weight"].shape[1])
    assert not own["fc.weight"].any()
    assert notes == ["the head (fc) starts from zeros: the file has 1000 classes, not 5"]


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 4])
def test_filters_are_adapted_to_the_channels(tmp_path, channels):
    source = random_network("test_resnet")
    network = build_model(timm_model("test_resnet"), channels, 5, (64, 64))
    notes = load_weights(network, saved(source, tmp_path / "w.safetensors"))
    assert f"the first convolution was adapted from 3 channels to {channels}" in notes
    colors = torch.rand(2, 1, 64, 64)
    ours = network.conv1(colors.expand(-1, channels, -1, -1)) if hasattr(network, "conv1") else None
    theirs = source.conv1(colors.expand(-1, 3, -1, -1)) if hasattr(source, "conv1") else None
    if ours is None:  # a deep stem
        first = next(part for part in network.modules() if isinstance(part, nn.Conv2d))
        other = next(part for part in source.modules() if isinstance(part, nn.Conv2d))
        ours, theirs = first(colors.expand(-1, channels, -1, -1)), other(colors.expand(-1, 3, -1, -1))
    if channels == 1:  # a gray image is one whose three colors are equal
        torch.testing.assert_close(ours, theirs)
    else:
        assert ours.shape == theirs.shape


@pytest.mark.slow
def test_position_embeddings_are_adapted_to_the_image_size(tmp_path):
    path = saved(random_network("test_vit"), tmp_path / "test_vit.safetensors")
    network = build_model(timm_model("test_vit"), 3, 1000, (96, 96))
    assert load_weights(network, path) == []
    assert network.pos_embed.shape[1] == (96 // 16) ** 2 + 1


def test_nothing_is_said_of_a_head_that_a_fitted_one_replaces(tmp_path):
    path = saved(build_model(timm_model("test_resnet"), 1, 10, (32, 32)), tmp_path / "w.safetensors")
    network = build_model(timm_model("test_resnet"), 1, 5, (32, 32))
    assert [note.partition(" (")[0] for note in load_weights(network, path)] == ["the head"]
    assert load_weights(network, path, head_is_fitted=True) == []


def test_the_names_of_efficientnet_pytorch_become_those_of_timm(tmp_path):
    source = random_network("tf_efficientnet_lite0").state_dict()
    upstream = {
        f"_{name}" if index else "_conv_stem.weight": value
        for index, (name, value) in enumerate(source.items())
    }
    torch.save(upstream, tmp_path / "lite0.pth")
    network = build_model(timm_model("tf_efficientnet_lite0"), 3, 1000, (64, 64))
    assert load_weights(network, tmp_path / "lite0.pth") == [
        "names of efficientnet_pytorch were mapped to timm's"
    ]
    assert all(torch.equal(value, source[name]) for name, value in network.state_dict().items())


def test_weights_of_another_network_are_refused_with_the_keys_that_differ(tmp_path):
    path = saved(build_model(model(**CNN), 3, 5, (16, 16)), tmp_path / "w.safetensors")
    wider = build_model(model(**CNN | {"widths": [4, 8, 8]}), 3, 5, (16, 16))
    with pytest.raises(AssayError, match=r"missing: 2\.0\.weight.*do not fit|do not fit.*missing") as error:
        load_weights(wider, path)
    assert "choose the model that they were trained for" in str(error.value)


@pytest.mark.slow
def test_a_first_convolution_of_another_size_is_refused_with_the_stem_that_takes_it(tmp_path):
    path = saved(random_network("resnet18", num_classes=5), tmp_path / "mine.safetensors")
    small = build_model(timm_model("resnet18", "mine.safetensors", stem="auto"), 3, 5, (32, 32))
    with pytest.raises(AssayError, match=r"is 7×7, and 3×3 here: set model\.stem=standard.*weights=imagenet"):
        load_weights(small, path)
    load_weights(build_model(timm_model("resnet18", "mine.safetensors"), 3, 5, (32, 32)), path)  # standard
    path = path.rename(tmp_path / "resnet18.safetensors")
    full = build_model(timm_model("resnet18", stem="auto"), 3, 5, (32, 32))
    load_weights(full, find_weights(timm_model("resnet18"), tmp_path))
    assert (full.conv1.kernel_size, full.conv1.stride) == ((7, 7), (1, 1))
    standard = build_model(timm_model("resnet18", "w"), 3, 5, (96, 96))
    with pytest.raises(AssayError, match=r"is 3×3, and 7×7 here: set model\.stem=small"):
        load_weights(standard, saved(small, tmp_path / "w.safetensors"))


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    """efficientnet_lite0 would take those of tf_efficientnet_lite0, which pads differently."""
    (tmp_path / "w.pth").touch()
    for said in ("tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k", {"kind": "timm", "name": "tf_x"}):
        write_json(tmp_path / "w.json", {"model": said})
        with pytest.raises(AssayError, match=r"w\.pth has weights of tf_\w+, as w\.json .* model is effici"):
            find_weights(timm_model("efficientnet_lite0", "w.pth"), tmp_path)
    for said in ("efficientnet_lite0", "efficientnet_lite0.ra_in1k", None):
        write_json(tmp_path / "w.json", {"model": said})
        assert find_weights(timm_model("efficientnet_lite0", "w.pth"), tmp_path)
    write_json(tmp_path / "w.json", {"model": {"kind": "cnn", "widths": [1]}})
    assert find_weights(model(**CNN | {"weights": "w.pth"}), tmp_path)


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harmed",))

    (tmp_path / "w.pth").write_bytes(pickle.dumps(Harm()))
    torch.save({"weight": Harm()}, tmp_path / "v.pth")
    network = build_model(model(**CNN), 3, 5, (16, 16))
    for name in ("w.pth", "v.pth"):
        with pytest.raises(AssayError, match="cannot be read as weights"):
            load_weights(network, tmp_path / name)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02N."])
def test_a_damaged_file_is_refused(tmp_path, content):
    for name in ("w.safetensors", "w.pth"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AssayError, match=r"cannot be read as weights|holds no state dict"):
            load_weights(build_model(model(**CNN), 3, 5, (16, 16)), tmp_path / name)


def test_missing_weights_are_named_with_the_command_that_fetches_them(tmp_path):
    with pytest.raises(AssayError, match=r"resnet18\.safetensors is missing.*python -m src\.fetch resnet18"):
        find_weights(timm_model("resnet18"), tmp_path)
    (tmp_path / "mine.pth").touch()
    with pytest.raises(AssayError, match=r"other\.pth is missing.*has mine\.pth"):
        find_weights(timm_model("resnet18", "other.pth"), tmp_path)
    with pytest.raises(AssayError, match=r"model\.weights=imagenet is for timm models"):
        find_weights(model(**CNN | {"weights": "imagenet"}), tmp_path)
    assert find_weights(timm_model("resnet18", None), tmp_path) is None
    assert find_weights(timm_model("resnet18", "mine.pth"), tmp_path) == tmp_path / "mine.pth"


@pytest.mark.parametrize("name", ["../w.pth", "/w.pth", "a/b.pth", "models:/digits@champion"])
def test_weights_outside_the_folder_cannot_be_named(name):
    with pytest.raises(ValueError, match="file in data/weights"):
        timm_model("resnet18", name)


def test_the_normalization_is_that_of_the_weights(tmp_path):
    (tmp_path / "resnet18.pth").touch()
    with pytest.raises(AssayError, match=r"resnet18\.json is missing.*--from"):
        pretrained_normalization(timm_model("resnet18"), tmp_path, 3)
    write_json(
        tmp_path / "resnet18.json", {"normalization": {"shift": [0.1, 0.2, 0.6], "scale": [0.5, 0.5, 0.2]}}
    )
    shift, scale = pretrained_normalization(timm_model("resnet18"), tmp_path, 3)
    assert shift.tolist() == [0.1, 0.2, 0.6]
    assert scale.tolist() == [0.5, 0.5, 0.2]
    shift, scale = pretrained_normalization(timm_model("resnet18"), tmp_path, 1)
    np.testing.assert_allclose([*shift, *scale], [0.3, 0.4])
    with pytest.raises(AssayError, match="needs weights to start from"):
        pretrained_normalization(timm_model("resnet18", None), tmp_path, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("picture", "expected"), [("flower.jpg", 985), ("china.jpg", 442)]
)  # daisy, bell cote
def test_real_imagenet_weights_recognize_real_photos(tmp_path, picture, expected):
    path = fetch_imagenet_weights("tf_efficientnet_lite0", tmp_path)
    model = timm_model("tf_efficientnet_lite0")
    network = build_model(model, 3, 1000, (224, 224))
    load_weights(network, path)
    shift, scale = pretrained_normalization(model, tmp_path, 3)
    pixels = np.asarray(
        Image.fromarray(load_sample_image(picture)).resize((224, 224), Image.Resampling.BICUBIC)
    )
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    with torch.inference_mode():
        logits = NormalizedModel(network, shift, scale).eval()(images)
    assert int(logits.argmax()) == expected


def test_two_files_for_one_model_are_refused(tmp_path):
    for ending in ("safetensors", "pth"):
        (tmp_path / f"resnet18.{ending}").touch()
    with pytest.raises(AssayError, match=r"resnet18\.safetensors and .*resnet18\.pth are both there"):
        find_weights(timm_model("resnet18"), tmp_path)


def test_weights_that_are_not_what_their_note_says_are_refused(tmp_path):
    (tmp_path / "resnet18.pth").write_bytes(b"other")
    write_json(tmp_path / "resnet18.json", {"sha256": "0" * 64})
    with pytest.raises(AssayError, match=r"resnet18\.pth is not the file that resnet18\.json describes"):
        find_weights(timm_model("resnet18"), tmp_path)
    write_json(tmp_path / "resnet18.json", {"sha256": file_hash(tmp_path / "resnet18.pth")})
    assert find_weights(timm_model("resnet18"), tmp_path) == tmp_path / "resnet18.pth"


@pytest.mark.parametrize(
    "note", [{}, {"normalization": {}}, {"normalization": {"shift": [0.5], "scale": [0.0]}}, []]
)
def test_a_damaged_note_is_refused(tmp_path, note):
    (tmp_path / "resnet18.pth").touch()
    write_json(tmp_path / "resnet18.json", note)
    with pytest.raises(AssayError, match=r"resnet18\.json is damaged"):
        pretrained_normalization(timm_model("resnet18"), tmp_path, 1)


@pytest.mark.parametrize("content", [{1: torch.zeros(3)}, {"a": 1}, {"a": torch.zeros(2).to_sparse()}, [1]])
def test_what_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(AssayError, match="holds no state dict"):
        load_weights(build_model(model(**CNN), 3, 5, (16, 16)), tmp_path / "w.pth")


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    network = build_model(model(**CNN), 3, 5, (16, 16))
    state = network.state_dict()
    state["0.0.weight"] = torch.full_like(state["0.0.weight"], float("nan"))
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(AssayError, match=r"not finite real numbers \(0\.0\.weight\)"):
        load_weights(network, tmp_path / "w.pth")
