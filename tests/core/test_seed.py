"""Seeds: the range, and that neighbours are independent (Qiskit/qiskit-aer#1916, #2276)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer.core.seed import MAX_SEED, checked, derive, member
from quantainer_client.errors import QuantainerError

SEEDS = st.integers(0, MAX_SEED)


@pytest.mark.report(13)
@pytest.mark.parametrize(
    "odd", ["42", 42.4, 42.0, -42, -1, 2**63, 2**64, True, False, None, [1], np.int64(3), 1j]
)
def test_anything_but_an_integer_in_range_is_refused(odd: object) -> None:
    with pytest.raises(QuantainerError) as refused:
        checked(odd)
    assert refused.value.code == "invalid_seed"
    assert refused.value.limit == 2**63 - 1
    assert "from 0 to 9223372036854775807" in str(refused.value)


@pytest.mark.parametrize("seed", [0, 1, 42, 2**63 - 1])
def test_the_whole_range_is_taken_as_it_is(seed: int) -> None:
    assert checked(seed) == seed


@given(SEEDS, st.lists(st.one_of(st.integers(0, 100), st.text(max_size=4)), max_size=3))
def test_derived_seeds_are_seeds_and_repeat(seed: int, path: list[int | str]) -> None:
    derived = derive(seed, *path)
    assert checked(derived) == derive(seed, *path)


def test_numbers_and_texts_on_the_path_differ() -> None:
    assert derive(1, 2) != derive(1, "2")
    assert derive(1, "a", "b") != derive(1, "ab")
    assert derive(12, 3) != derive(1, 23)


@pytest.mark.report(12)
def test_derived_seeds_of_neighbours_share_no_pattern() -> None:
    bits = np.array(
        [[(derive(seed, "engine") >> bit) & 1 for bit in range(63)] for seed in range(4000)]
    )
    flips = bits[1:] ^ bits[:-1]
    # 63 bits over 3999 pairs: each share of flips is ½ ± 5 σ.
    assert np.all(np.abs(flips.mean(axis=0) - 0.5) < 5 * 0.5 / np.sqrt(len(flips)))


@given(SEEDS)
def test_the_first_of_a_batch_keeps_the_seed(seed: int) -> None:
    assert member(seed, 0) == seed


@given(SEEDS)
def test_a_member_alone_has_the_seed_it_had_in_the_batch(seed: int) -> None:
    third = member(seed, 3)
    assert member(third, 0) == third
    assert len({member(seed, index) for index in range(50)}) == 50
