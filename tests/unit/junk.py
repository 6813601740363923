"""What may stand where something sensible was expected."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
KEYS = st.text(max_size=8)


def junk(*likely: Any, keys: st.SearchStrategy[Any] = KEYS) -> st.SearchStrategy[Any]:
    """Values of all kinds, among them those that are nearly right."""
    return st.recursive(
        SIMPLE | st.sampled_from(likely),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=6,
    )
