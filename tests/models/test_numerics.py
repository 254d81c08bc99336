"""What a training computes with."""

import os

import pytest
import torch

from src.config.schema.model import Timm
from src.core.cpus import resolve_threads
from src.core.errors import AssayError
from src.models.build import build_model
from src.models.numerics import choose_device, deterministic, resolve_precision

CPU = torch.device("cpu")


def timm(name: str) -> torch.nn.Module:
    section = Timm(kind="timm", name=name, weights=None, stem="auto", dropout=0.0, drop_path=0.0)
    return build_model(section, 1, 10, (28, 28))


def test_threads():
    assert resolve_threads(3) == 3
    assert resolve_threads("auto") == len(os.sched_getaffinity(0))


def test_a_missing_gpu_is_refused_by_name():
    with pytest.raises(AssayError, match=r"machine\.device=cuda:99.*machine\.device=auto"):
        choose_device("cuda:99")


def test_precision_is_what_was_asked_for():
    assert resolve_precision("fp32", CPU, torch.nn.Identity()) == "fp32"
    assert resolve_precision("bf16", CPU, torch.nn.Identity()) == "bf16"


def test_automatic_precision_avoids_bf16_for_depthwise_convolutions():
    here = "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"
    assert resolve_precision("auto", CPU, timm("resnet10t")) == here
    assert resolve_precision("auto", CPU, timm("regnetx_002")) == here  # grouped, but not depthwise
    assert resolve_precision("auto", CPU, timm("mobilenetv3_small_050")) == "fp32"


def test_settings_of_the_process_come_back():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with deterministic(threads=1):
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
