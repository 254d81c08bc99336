"""Search spaces in Hydra's sweep syntax.

====================================  ==========================================================
``choice(a, b, c)`` or ``a, b, c``    one of these
``range(1, 5)``, ``range(0, 1, .1)``  one of these numbers, without the last
``interval(0, 0.5)``                  any number in between
``int(interval(1, 64))``              any integer in between, both ends included
``tag(log, interval(1e-4, 1e-1))``    evenly on a logarithmic scale
====================================  ==========================================================
"""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from src.core.errors import AssayError
from src.search.engine.distributions import Categorical, Distribution, Range

MOST_VALUES = 10_000  # of one range
SYNTAX = "choice(a, b), range(1, 5), interval(0, 0.5), int(interval(1, 64)), tag(log, interval(1e-4, 1e-1))"


def parse_space(texts: Mapping[str, str]) -> dict[str, Distribution]:
    """The distribution of each field, in the order of ``texts``.

    Raises:
        AssayError: Texts that are not valid; all are listed, each with its field.
    """
    domains: dict[str, Distribution] = {}
    faults = []
    for field, text in texts.items():
        try:
            domains[field] = _parse(text)
        except AssayError as fault:
            faults.append(f"  {field}: {fault}, but got {text!r}")
    if faults:
        listed = "\n".join(faults)
        raise AssayError(f"sweep.space is not valid:\n{listed}\nWrite {SYNTAX}.")
    return domains


def _parse(text: str) -> Distribution:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep, Sweep
    from hydra.errors import HydraException

    try:
        value = OverridesParser.create().parse_override(f"value={text}").value()
    except (HydraException, RecursionError) as error:
        raise AssayError(f"must be in Hydra's sweep syntax ({_first_line(error)})") from error
    if not isinstance(value, Sweep):
        raise AssayError("must be a choice, a range or an interval")
    unknown = sorted(value.tags - {"log"})
    if unknown:
        raise AssayError(f"log is the only tag that is allowed, not {', '.join(unknown)}")
    if isinstance(value, IntervalSweep):
        return _interval(value.start, value.end, bool(value.tags))
    if value.tags:
        raise AssayError("log is for intervals only, because it has no meaning for single values")
    if isinstance(value, RangeSweep):
        return Categorical(_range(value.start, value.stop, value.step))
    assert isinstance(value, ChoiceSweep)
    if not value.list:
        raise AssayError("must have at least one value")
    return _choice([_plain(item) for item in value.list])


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _interval(low: Any, high: Any, log: bool) -> Range:
    """Hydra's ends are floats, or integers after ``int(…)``."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise AssayError("an interval needs finite ends")
    if low >= high:
        raise AssayError(f"an interval must have a low end below its high end, but has {low} and {high}")
    if log and low <= 0:
        raise AssayError(f"a logarithmic scale must start above 0, not at {low}")
    return Range(low, high, log=log, integer=isinstance(low, int))


def _range(start: Any, stop: Any, step: Any) -> tuple[int, ...] | tuple[float, ...]:
    """Counted with decimals: floating point would let ``range(0, 0.9, 0.3)`` reach its end."""
    if not all(math.isfinite(number) for number in (start, stop, step)):
        raise AssayError("a range needs finite numbers")
    if step == 0:
        raise AssayError("the step of a range must not be 0")
    first, last, by = (Decimal(repr(number)) for number in (start, stop, step))
    count = math.ceil((last - first) / by)
    if count < 1:
        raise AssayError("the range must not be empty")
    if count > MOST_VALUES:
        raise AssayError(
            f"a range may have {MOST_VALUES:,} values, but this one has {count:,}: use an interval"
        )
    whole = all(isinstance(number, int) for number in (start, stop, step))
    values = tuple(first + by * index for index in range(count))
    return tuple(map(int, values)) if whole else tuple(map(float, values))


def _choice(values: list[Any]) -> Categorical:
    repeated = [value for index, value in enumerate(values) if value in values[:index]]
    if repeated:
        raise AssayError(f"the values of a choice must differ, but {json.dumps(repeated[0])} is there twice")
    return Categorical(tuple(values))


def _plain(value: Any) -> Any:
    """A value as a configuration holds it: without Hydra's quotes, and only what JSON knows."""
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise AssayError("a choice needs finite numbers")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise AssayError("a choice, a range or an interval cannot be nested in another")


def _key(key: Any) -> str:
    text = _plain(key)
    if not isinstance(text, str):
        raise AssayError(f"the keys of a dictionary must be strings, but {text!r} is not")
    return text
