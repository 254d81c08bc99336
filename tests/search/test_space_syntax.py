"""Search spaces in Hydra's sweep syntax: what they mean, and what is refused."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import AssayError
from src.search.engine.distributions import Categorical, Range
from src.search.engine.space_syntax import MOST_VALUES, parse_space

GOOD = {
    "choice(64, 128, 256)": Categorical((64, 128, 256)),
    "64,128": Categorical((64, 128)),
    "choice(cnn, lenet)": Categorical(("cnn", "lenet")),
    "choice('a b', \"c,d\")": Categorical(("a b", "c,d")),
    "choice([16,32],[32,64])": Categorical(([16, 32], [32, 64])),
    "[16],[16,'32']": Categorical(([16], [16, "32"])),
    "choice({name: flip, p: 0.5})": Categorical(({"name": "flip", "p": 0.5},)),
    "choice(0, 0.1, true, auto)": Categorical((0, 0.1, True, "auto")),
    "null,1": Categorical((None, 1)),
    "shuffle(3, 1, 2)": Categorical((3, 1, 2)),
    "shuffle(range(1, 4))": Categorical((1, 2, 3)),
    "sort(3, 1, 2)": Categorical((1, 2, 3)),
    "range(1, 5)": Categorical((1, 2, 3, 4)),
    "range(3)": Categorical((0, 1, 2)),
    "range(10, 0, -4)": Categorical((10, 6, 2)),
    "range(0, 0.9, 0.3)": Categorical((0.0, 0.3, 0.6)),
    "range(1e-4, 4e-4, 1e-4)": Categorical((1e-4, 2e-4, 3e-4)),
    "interval(0, 0.5)": Range(0.0, 0.5),
    "interval(-1, 1)": Range(-1.0, 1.0),
    "int(interval(1, 64))": Range(1, 64, integer=True),
    "tag(log, interval(1e-4, 1e-1))": Range(1e-4, 1e-1, log=True),
    "tag(log, int(interval(1, 64)))": Range(1, 64, log=True, integer=True),
    "int(tag(log, interval(1, 64)))": Range(1, 64, log=True, integer=True),
}

BAD = {
    "": "must be a choice, a range or an interval",
    "0.1": "must be a choice, a range or an interval",
    "[16, 32]": "must be a choice, a range or an interval",
    "[choice(1, 2)]": "must be a choice, a range or an interval",
    "glob(*)": "must be a choice, a range or an interval",
    "choice(": "Hydra's sweep syntax",
    "choice()": "empty choice",
    "uniform(0, 1)": "Unknown function",
    "x\ny": "Hydra's sweep syntax",
    "choice(1, choice(2, 3))": "cannot be nested in another",
    "choice(1, 2, 1)": "1 is there twice",
    "choice([1], [1])": "[1] is there twice",
    "choice(1, 1.0)": "is there twice",
    "choice(nan, 1)": "finite",
    "choice({1: 2})": "keys of a dictionary",
    "range(5, 1)": "must not be empty",
    "range(1, 1)": "must not be empty",
    "range(0, 5, 0)": "must not be 0",
    "range(0, inf)": "finite",
    "range(0, 5, nan)": "finite",
    "range(0, 1000000000)": "use an interval",
    "interval(1, 1)": "low end below its high end",
    "interval(2, 1)": "low end below its high end",
    "interval(0, inf)": "finite",
    "int(interval(0, inf))": "Hydra's sweep syntax",
    "int(interval(1.2, 1.8))": "low end below its high end",
    "tag(log, interval(0, 1))": "above 0",
    "tag(log, interval(-1, 1))": "above 0",
    "tag(log, int(interval(0.5, 8)))": "above 0",
    "tag(log, choice(1, 2))": "log is for intervals",
    "tag(log, range(1, 5))": "log is for intervals",
    "tag(linear, interval(0, 1))": "not linear",
}


def strictly(domain):
    """With types, as 1 == 1.0 == True."""
    return repr(domain)


@pytest.mark.parametrize("text", GOOD)
def test_what_a_text_means(text):
    assert strictly(parse_space({"field": text})) == strictly({"field": GOOD[text]})


@pytest.mark.parametrize("text", BAD)
def test_what_is_refused_and_why(text):
    with pytest.raises(AssayError) as caught:
        parse_space({"train.batch_size": text})
    message = str(caught.value)
    assert "train.batch_size: " in message
    assert BAD[text] in message
    assert f"but got {text!r}" in message


def test_all_faults_are_reported_together_each_with_its_field():
    texts = {"a": "interval(1, 0)", "b": "choice(1, 2)", "c": "range(2, 1)", "d": "7"}
    with pytest.raises(AssayError) as caught:
        parse_space(texts)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == ["a", "c", "d"]


def test_fields_keep_their_order():
    assert list(parse_space({"b": "1,2", "a": "1,2", "c": "interval(0,1)"})) == ["b", "a", "c"]


finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = (
    st.integers() | finite | st.booleans() | st.text("abcdefgh _-", min_size=1).map(str.strip).filter(bool)
)


def as_text(value):
    """A value as one would write it; texts in quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(as_text, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(value)


@settings(deadline=None)
@given(st.lists(scalars | st.lists(scalars, max_size=4), min_size=1, max_size=6))
def test_choices_come_back(values):
    distinct = [value for index, value in enumerate(values) if value not in values[:index]]
    text = f"choice({', '.join(map(as_text, distinct))})"
    assert strictly(parse_space({"f": text})["f"]) == strictly(Categorical(tuple(distinct)))


@settings(deadline=None)
@given(finite, finite, st.booleans())
def test_intervals_come_back(one, other, log):
    low, high = sorted((abs(one), abs(other)) if log else (one, other))
    text = f"interval({low!r}, {high!r})"
    text = f"tag(log, {text})" if log else text
    if low == high or (log and low <= 0):
        with pytest.raises(AssayError):
            parse_space({"f": text})
    else:
        assert parse_space({"f": text})["f"] == Range(low, high, log=log)


@settings(deadline=None)
@given(st.integers(-10_000, 10_000), st.integers(-10_000, 10_000), st.integers(-50, 50))
def test_whole_ranges_are_those_of_python(start, stop, step):
    text = f"range({start}, {stop}, {step})"
    expected = range(start, stop, step) if step else range(0)
    if 0 < len(expected) <= MOST_VALUES:
        assert strictly(parse_space({"f": text})["f"]) == strictly(Categorical(tuple(expected)))
    else:
        with pytest.raises(AssayError):
            parse_space({"f": text})


@settings(deadline=None)
@given(st.integers(-500, 500), st.integers(1, 300), st.sampled_from([0.1, 0.25, 0.3, 0.001]))
def test_ranges_with_a_fraction_never_reach_their_end(first, count, step):
    start, stop = round(first * step, 6), round((first + count) * step, 6)
    values = parse_space({"f": f"range({start!r}, {stop!r}, {step!r})"})["f"].values
    assert len(values) == count
    assert values == tuple(round((first + index) * step, 6) for index in range(count))


WORDS = ["choice(", "range(", "interval(", "tag(", "int(", "float(", "str(", "bool(", "sort(", "shuffle("]
WORDS += ["glob(", "log", "nan", "inf", "null", "true", "a", "0", "1", "-1", "0.5", "1e400", "9" * 21, "${"]
syntax = st.lists(st.sampled_from([*WORDS, *"()[]{}:,='\"\\$.*@+~"]), max_size=14).map("".join)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | syntax)
def test_any_text_is_a_domain_or_refused(text):
    try:
        domain = parse_space({"f": text})["f"]
    except AssayError:
        return
    if isinstance(domain, Range):
        assert math.isfinite(domain.low) and domain.low < domain.high
    else:
        assert domain.values
