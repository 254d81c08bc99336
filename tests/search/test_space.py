"""Search spaces: grids are complete and without repeats, and Optuna gets and gives the same values."""

import json
import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import AssayError
from src.search.engine.distributions import Categorical, Range
from src.search.engine.space import SearchSpace

MODELS = SearchSpace(
    {
        "model": Categorical(("cnn", "lenet")),
        "lr": Categorical((0.1, 0.2)),
        "model.widths": Categorical(([8], [8, 16], [32])),
        "model.dropout": Categorical((0.0, 0.5)),
    },
    groups=("model",),
    present={
        ("cnn",): frozenset({"lr", "model.widths", "model.dropout"}),
        ("lenet",): frozenset({"lr", "model.dropout"}),
    },
)


def identities(points):
    return [json.dumps(point, sort_keys=True) for point in points]


def test_grid_is_every_combination_once():
    space = SearchSpace(
        {"a": Categorical((1, 2, 3)), "b": Categorical(("x", "y")), "c": Categorical(([1], [2]))}
    )
    points = space.points()
    assert space.size() == len(points) == 12
    assert len(set(identities(points))) == 12
    assert points[0] == {"a": 1, "b": "x", "c": [1]}
    assert points[-1] == {"a": 3, "b": "y", "c": [2]}


def test_grid_has_only_the_fields_that_exist():
    points = MODELS.points()
    assert MODELS.size() == len(points) == 2 * 3 * 2 + 2 * 2
    assert len(set(identities(points))) == 16
    for point in points:
        assert ("model.widths" in point) == (point["model"] == "cnn")
        assert next(iter(point)) == "model"


def test_fields_follow_the_groups_and_keep_their_order():
    assert MODELS.fields({"model": "cnn"}) == ["lr", "model.widths", "model.dropout"]
    assert MODELS.fields({"model": "lenet"}) == ["lr", "model.dropout"]
    assert SearchSpace({"b": Categorical((1,)), "a": Categorical((1,))}).fields({}) == ["b", "a"]


def test_grid_refuses_intervals_by_name():
    space = SearchSpace({"lr": Range(0.0, 1.0), "size": Categorical((1, 2)), "drop": Range(0.0, 0.5)})
    with pytest.raises(AssayError, match=r"lr, drop"):
        space.points()


def test_grid_that_nobody_could_finish_is_refused_with_its_size():
    space = SearchSpace({f"f{index}": Categorical(tuple(range(100))) for index in range(5)})
    assert space.size() == 100**5
    with pytest.raises(AssayError, match="10,000,000,000 points"):
        space.points()


@pytest.mark.parametrize("seed", range(5))
def test_suggestions_lie_in_the_domains(seed):
    space = SearchSpace(
        {
            "real": Range(-1.0, 1.0),
            "log": Range(1e-4, 1.0, log=True),
            "whole": Range(1, 64, integer=True),
            "log_whole": Range(1, 64, log=True, integer=True),
            "mixed": Categorical((1, True, 1.5, "1", [1], None, {"a": [1, "x"]})),
        }
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(30):
        found = space.suggest(study.ask())
        assert -1 <= found["real"] <= 1 and isinstance(found["real"], float)
        assert 1e-4 <= found["log"] <= 1
        assert found["whole"] in range(1, 65) and type(found["whole"]) is int
        assert found["log_whole"] in range(1, 65) and type(found["log_whole"]) is int
        assert repr(found["mixed"]) in [repr(value) for value in space.domains["mixed"].values]


values = st.recursive(
    st.integers(-5, 5)
    | st.booleans()
    | st.floats(-1, 1)
    | st.sampled_from(["a", "1", "[1]", "true", "null"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(values, min_size=1, max_size=6, unique_by=repr), st.data())
def test_what_is_encoded_comes_back_with_its_type(choices, data):
    space = SearchSpace({"f": Categorical(tuple(choices)), "x": Range(0.0, 1.0)})
    chosen = {"f": data.draw(st.sampled_from(choices)), "x": data.draw(st.floats(0, 1))}
    assert repr(space.suggest(optuna.trial.FixedTrial(space.encode(chosen)))) == repr(chosen)


@pytest.mark.parametrize("chosen", ["cnn", "lenet"])
def test_conditional_suggestions_hold_what_exists(chosen):
    params = MODELS.encode({"model": chosen, "lr": 0.1, "model.widths": [32], "model.dropout": 0.5})
    found = MODELS.suggest(optuna.trial.FixedTrial(params))
    assert list(found) == ["model", *MODELS.fields({"model": chosen})]
    assert found.get("model.widths", [32]) == [32]


def test_size_is_the_product_of_the_values():
    space = SearchSpace({"a": Categorical(tuple(range(7))), "b": Categorical(tuple(range(11)))})
    assert space.size() == math.prod([7, 11])
