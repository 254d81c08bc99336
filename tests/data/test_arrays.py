"""The array on disk: equal to numpy's own file, with rows in any order and gaps closed."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import AssayError
from src.data.dataset import arrays


def _saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _random(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 3, 4, 5), dtype=np.uint8)


def test_rows_written_out_of_order_give_the_bytes_of_numpy_save(tmp_path: Path) -> None:
    rows, path = _random(10), tmp_path / "a.npy"
    arrays.create_array(path, rows.shape)
    for first, last in ((7, 10), (0, 3), (3, 7)):
        arrays.write_rows(path, first, rows[first:last])
    assert path.read_bytes() == _saved(rows)


@settings(max_examples=30, deadline=None)
@given(keep=st.lists(st.booleans(), min_size=1, max_size=40), block=st.integers(1, 300))
def test_keeping_rows_gives_the_bytes_of_numpy_save(
    tmp_path_factory: pytest.TempPathFactory, keep: list[bool], block: int
) -> None:
    rows, path = _random(len(keep)), tmp_path_factory.mktemp("store") / "a.npy"
    path.write_bytes(_saved(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "BLOCK_BYTES", block)
        arrays.compact_rows(path, np.array(keep))
    assert path.read_bytes() == _saved(rows[np.array(keep)])


def test_the_header_has_room_for_any_number_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    arrays.create_array(path, (10**7, 1, 1, 1))  # sparse: takes no room
    keep = np.zeros(10**7, bool)
    keep[:2] = True
    arrays.compact_rows(path, keep)
    assert arrays.open_array(path).shape == (2, 1, 1, 1)


def test_the_map_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(_saved(_random(3)))
    array = arrays.open_array(tmp_path / "a.npy")
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize(
    "content",
    [b"", b"not an array", _saved(_random(3))[:-1], _saved(np.zeros(3)), _saved(np.zeros(3))[:40]],
    ids=["empty", "text", "truncated", "float", "half a header"],
)
def test_a_damaged_array_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(AssayError, match=r"a\.npy .*dvc repro ingest"):
        arrays.open_array(tmp_path / "a.npy")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(AssayError, match="Python objects"):
        arrays.open_array(tmp_path / "a.npy")


@pytest.mark.parametrize("first", [3, 4])
def test_rows_beyond_the_end_are_refused(tmp_path: Path, first: int) -> None:
    arrays.create_array(tmp_path / "a.npy", (4, 3, 4, 5))
    with pytest.raises(ValueError, match="do not fit"):
        arrays.write_rows(tmp_path / "a.npy", first, _random(2))
