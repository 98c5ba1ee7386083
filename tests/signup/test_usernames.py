"""Usernames."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from signup import usernames


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("alice", "alice"), (" Al ", "Al"), ("ａｌｉｃｅ", "alice"), ("小明", "小明"), ("小明2026", "小明2026"), ("a_b-c", "a_b-c"),
     ("さくら子", "さくら子"), ("Ünal", "Ünal"), ("иван", "иван"), ("x" * 20, "x" * 20)],
)  # fmt: skip
def test_names_of_any_one_script_pass(typed: str, shown: str) -> None:
    """NFKC, trimmed."""
    assert usernames.clean(typed) == shown


@pytest.mark.parametrize(
    ("typed", "code"),
    [("a", "length"), ("", "length"), ("x" * 21, "length"), ("ﷺ" * 2, "length"), ("a@b.c", "characters"), ("a.b", "characters"),
     ("a/b", "characters"), ("a:b", "characters"), ("a b", "characters"), ("-ab", "characters"), ("a\x00b", "characters"),
     ("a\u200bb", "characters"), ("a\r\nb", "characters"), ("раypal", "characters"), ("ab\u0301\u0301", "characters"),
     ("\ud800ab", "characters"), ("aΑ", "characters"), ("a小", "characters")],
)  # fmt: skip
def test_misleading_names_are_refused(typed: str, code: str) -> None:
    """Addresses, links, hidden characters, mixed scripts."""
    with pytest.raises(ValidationError) as refusal:
        usernames.clean(typed)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("left", "right"), [("Alice", "aLICE"), ("STRASSE", "straße"), ("ａlice", "alice"), ("Ὀδυσσεύς", "ὀδυσσεύσ")]
)
def test_case_and_width_are_one_name(left: str, right: str) -> None:
    """Both have the same key."""
    assert usernames.key(left) == usernames.key(right)


@given(st.text(max_size=30))
def test_a_clean_name_is_its_own_clean_form(typed: str) -> None:
    """And its key fits the column."""
    try:
        name = usernames.clean(typed)
    except ValidationError:
        return
    assert usernames.clean(name) == name
    assert 2 <= len(name) <= 20
    assert len(usernames.key(name)) <= 60
    assert "@" not in name
