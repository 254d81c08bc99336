"""The learning rate at each step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.config.schema.train import Schedule
from src.training.lr_schedules import lr_factor, plateau_drops

NAMES = ["constant", "cosine", "step", "plateau", "one_cycle"]


def schedule(
    name: str, warmup: float = 0.0, step: int = 3, gamma: float = 0.1, patience: int = 1
) -> Schedule:
    return Schedule(name=name, warmup=warmup, step_epochs=step, gamma=gamma, patience=patience)


def factors(plan: Schedule, steps: int = 10, epochs: int = 10) -> list[float]:
    return [lr_factor(plan, step, steps, epochs) for step in range(steps * epochs)]


@given(
    name=st.sampled_from(NAMES),
    epochs=st.integers(1, 30),
    steps=st.integers(1, 50),
    share=st.floats(0, 0.99),
)
def test_stays_between_zero_and_the_peak(name, epochs, steps, share):
    plan = schedule(name, warmup=share)
    values = [lr_factor(plan, step, steps, epochs) for step in range(steps * epochs)]
    assert all(0 < value <= 1 for value in values)
    top = values.index(max(values))
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)


@pytest.mark.parametrize("name", ["constant", "cosine", "step", "plateau"])
def test_warm_up_is_linear_and_may_end_within_an_epoch(name):
    values = factors(schedule(name, warmup=0.15))
    assert values[:15] == pytest.approx([(step + 1) / 16 for step in range(15)])
    assert values[15] == 1


def test_one_cycle_rises_from_a_twenty_fifth_and_falls_to_nothing():
    values = factors(schedule("one_cycle", warmup=0.3))
    assert 0.04 < values[0] < 0.05
    assert max(values) == values[30] == 1
    assert values[-1] < 0.001


def test_cosine_is_halved_at_half_time():
    assert factors(schedule("cosine"))[50] == pytest.approx(0.5)
    assert factors(schedule("cosine"))[-1] < 0.001


def test_step_drops_after_whole_epochs():
    values = factors(schedule("step"))
    assert values[:30] == [1] * 30
    assert values[30:60] == pytest.approx([0.1] * 30)
    assert values[-1] == pytest.approx(0.001)


def test_constant_is_constant():
    assert set(factors(schedule("constant"))) == {1}


def test_plateau_multiplies_by_its_drops():
    plan = schedule("plateau", gamma=0.5)
    assert [lr_factor(plan, 0, 10, 10, drops) for drops in (0, 1, 2)] == [1, 0.5, 0.25]


@pytest.mark.parametrize(
    ("values", "patience", "drops"),
    [
        ([], 0, 0),
        ([1.0, 2.0, 3.0], 0, 0),
        ([1.0, 1.0], 0, 1),
        ([1.0, 1.0], 1, 0),
        ([1.0, 0.5, 0.9], 1, 1),
        ([1.0, 0.5, 0.9, 0.9, 0.9], 1, 2),  # the count restarts after a drop
        ([1.0, 0.5, 1.1, 0.9], 1, 0),
        ([float("nan"), 1.0], 0, 1),
    ],
)
def test_plateau_drops_after_more_than_patience_epochs_without_progress(values, patience, drops):
    assert plateau_drops(schedule("plateau", patience=patience), values) == drops
