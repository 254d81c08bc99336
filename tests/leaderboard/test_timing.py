"""Timings are what they say: order, dropped rounds, factors, and the refusal of a ratio from few rounds."""

import time

import numpy as np
import pytest
import torch

from src.compression.onnx.export import export_onnx
from src.compression.onnx.runtime import load_onnx, onnx_session, torch_model
from src.core.errors import AssayError
from src.core.metric_names import with_limits
from src.leaderboard.speed.machine import describe_machine
from src.leaderboard.speed.peak_memory import peak_memory
from src.leaderboard.speed.timing import Timing, TimingPlan, measure, ratio, rotated
from tests.support.models_on_disk import noise, normalized, write_base

IMAGES = np.arange(70, dtype=np.uint8).reshape(70, 1, 1, 1)


class Clock:
    """Time passes only while a model is at work."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def model(self, seconds, calls=None, name=""):
        """One that takes so long for each image: a number, or a function of how often it was called."""

        def work(images):
            work.count += 1
            if calls is not None:
                calls.append((name, len(images)))
            each = seconds(work.count) if callable(seconds) else seconds
            self.now += each * len(images)

        work.count = 0
        return work


def test_models_take_turns_and_the_order_moves_on():
    clock, calls = Clock(), []
    models = {name: clock.model(1, calls, name) for name in "abc"}
    measure(models, IMAGES, TimingPlan(rounds=3, warmup=1, calls=1, batches=1, batch_sizes=(4,)), clock=clock)
    one_image = [name for name, size in calls if size == 1][::2]  # of two calls each the first is not timed
    assert "".join(one_image) == "abc" + "bca" + "cab" + "abc"
    assert [size for name, size in calls[:4]] == [1, 1, 4, 4]
    assert rotated("abc", 7) == ["b", "c", "a"]


def test_warm_up_rounds_are_dropped():
    plan = TimingPlan(rounds=2, warmup=3, calls=4, batches=2, batch_sizes=(8,))
    clock = Clock()
    turn = 4 + 1 + 2 + 1  # calls of a round, the untimed ones too
    slow_at_first = clock.model(lambda count: 100.0 if count <= 3 * turn else 0.5)
    timing = measure({"a": slow_at_first}, IMAGES, plan, clock=clock)["a"]
    assert timing.single.shape == (2, 4)
    assert timing.batches[8].shape == (2, 2)
    assert (timing.single == 0.5).all()
    assert (timing.batches[8] == 4.0).all()


def test_the_first_call_of_each_kind_is_not_timed():
    clock = Clock()
    cold = clock.model(lambda count: 9.0 if count in (1, 5, 8, 12) else 1.0)  # of 3 + 1 and 2 + 1 calls
    plan = TimingPlan(rounds=2, warmup=0, calls=3, batches=2, batch_sizes=(2,))
    timing = measure({"a": cold}, IMAGES, plan, clock=clock)["a"]
    assert (timing.single == 1.0).all()
    assert (timing.batches[2] == 2.0).all()


def test_metrics_are_those_of_the_seconds():
    single = np.linspace(0.001, 0.1, 100).reshape(5, 20)
    # one batch of the second round was delayed
    batches = np.array([[1, 3, 2], [2, 2, 90], [0.5, 1.5, 1], [4, 4, 4], [1, 1, 1]], dtype=float)
    metrics = Timing(single, {8: batches}).metrics()
    assert metrics["speed/latency_p50_ms"] == pytest.approx(50.5)
    assert metrics["speed/latency_p95_ms"] == pytest.approx(np.percentile(single, 95) * 1000)
    assert metrics["speed/latency_p50_ms/low"] == pytest.approx(10.5)
    assert metrics["speed/latency_p50_ms/high"] == pytest.approx(90.5)
    # 8 images in 2, 2, 1, 4, 1 seconds
    assert [metrics[name] for name in with_limits("speed/throughput/8")] == [4, 2, 8]


def test_a_ratio_pairs_the_rounds():
    reference = np.array([1.0, 2.0, 10.0, 1.0, 1.0])  # the machine was fast in the third round
    found = ratio(3 * reference, reference)
    assert (found.low, found.value, found.high) == (3, 3, 3)
    found = ratio(np.array([1.0, 2.0, 3.0, 4.0, 50.0]), np.ones(5))
    assert (found.low, found.value, found.high) == (1, 3, 50)


@pytest.mark.parametrize("rounds", [1, 4])
def test_few_rounds_allow_no_ratio(rounds):
    with pytest.raises(AssayError, match=f"benchmark.rounds must be at least 5 .* got rounds={rounds}"):
        ratio(np.ones(rounds), np.ones(rounds))


def test_batches_take_other_images_and_never_run_over_the_end():
    seen = []
    plan = TimingPlan(rounds=1, warmup=0, calls=3, batches=4, batch_sizes=(32, 64))
    measure({"a": lambda images: seen.append(images.ravel().tolist())}, IMAGES, plan)
    assert [images for images in seen if len(images) == 1] == [[0], [0], [1], [2]]
    assert {len(images) for images in seen} == {1, 32, 64}
    assert len({tuple(images) for images in seen if len(images) == 32}) > 1


@pytest.mark.slow
def test_a_sleeping_model_is_slower_by_the_right_factor():
    def sleeper(seconds):
        return lambda images: time.sleep(seconds * len(images))

    plan = TimingPlan(rounds=5, warmup=1, calls=3, batches=1, batch_sizes=(2,))
    timings = measure({"slow": sleeper(0.03), "fast": sleeper(0.01)}, IMAGES, plan)
    found = ratio(timings["fast"].rates(2), timings["slow"].rates(2))
    assert found.value == pytest.approx(3, rel=0.2)
    assert timings["slow"].latency_ms(50) / timings["fast"].latency_ms(50) == pytest.approx(3, rel=0.2)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Folder of the base, and its export."""
    root = tmp_path_factory.mktemp("models")
    write_base(root)
    export_onnx(normalized(0), torch.from_numpy(noise(2)), root / "model.onnx")
    return root / "models/base", root / "model.onnx"


@pytest.mark.slow
def test_both_engines_say_what_the_network_says(both):
    images = noise(9)
    with torch.inference_mode():
        expected = normalized(0)(torch.from_numpy(images)).numpy()
    assert torch_model(both[0])(images) == pytest.approx(expected, abs=1e-4)
    assert load_onnx(both[1], threads=1)(images) == pytest.approx(expected, abs=1e-4)


def test_a_session_has_the_stated_threads(both):
    options = onnx_session(both[1], threads=2).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)


@pytest.mark.slow
def test_memory_is_that_of_the_model_and_not_of_who_asks(both):
    ballast = np.ones(150 * 2**20 // 8)  # a parent of more than any of the two
    small = peak_memory("onnx", both[1], noise(1), threads=1)
    large = peak_memory("onnx", both[1], noise(20_000), threads=1)
    torch_needs = peak_memory("torch", both[0], noise(1), threads=1)
    assert 20 < small < 150 < torch_needs, "ONNX Runtime does without torch"
    assert small + 20 < large, "a batch of many images needs more"
    assert ballast.all()


def test_memory_of_a_model_that_is_not_there(tmp_path):
    with pytest.raises(AssayError, match=r"measuring the memory of .*none\.onnx failed: .*none\.onnx"):
        peak_memory("onnx", tmp_path / "none.onnx", noise(1), threads=1)


def test_the_machine_is_described():
    machine = describe_machine()
    assert machine["torch"] == torch.__version__
    assert machine["cores"] >= 1
    assert machine["cpu"]
