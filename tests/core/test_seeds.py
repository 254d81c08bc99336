"""Seeds depend on the seed and the names, and on nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from src.core.seeds import derive_seed


@given(st.integers(0, 2**32 - 1), st.lists(st.one_of(st.integers(0), st.text("abc", min_size=1)), max_size=3))
def test_a_derived_seed_is_a_63_bit_constant(seed, names):
    assert 0 <= derive_seed(seed, *names) < 2**63
    assert derive_seed(seed, *names) == derive_seed(seed, *names)


def test_zero_is_a_seed_and_positions_matter():
    values = [
        derive_seed(0),
        derive_seed(1),
        derive_seed(0, "split"),
        derive_seed(0, 1, 2),
        derive_seed(0, 2, 1),
        derive_seed(0, 12),
    ]
    assert len(set(values)) == len(values)


def test_the_derivation_never_changes():
    assert derive_seed(0, "split") == 3769940940748469125
