"""Usernames."""

import unicodedata

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from signup import usernames
from signup.models import User


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("alice", "alice"), (" Al ", "Al"), ("ａｌｉｃｅ", "alice"), ("小明", "小明"), ("小明2026", "小明2026"), ("a_b-c", "a_b-c"),
     ("_al_", "_al_"), ("さくら子", "さくら子"), ("Ünal", "Ünal"), ("иван", "иван"), ("x" * 20, "x" * 20)],
)  # fmt: skip
def test_names_of_any_one_script_pass(typed: str, shown: str) -> None:
    """NFKC, trimmed."""
    assert usernames.clean(typed) == shown


@pytest.mark.parametrize(
    ("typed", "code"),
    [("a", "length"), ("", "length"), ("x" * 21, "length"), ("ﷺ" * 2, "length"), ("a@b.c", "characters"), ("a.b", "characters"),
     ("a/b", "characters"), ("a:b", "characters"), ("a b", "characters"), ("-ab", "characters"), ("a\x00b", "characters"),
     ("a\u200bb", "characters"), ("a\r\nb", "characters"), ("раypal", "characters"), ("ab\u0301\u0301", "characters"),
     ("\ud800ab", "characters"), ("aΑ", "characters")],
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


@pytest.mark.parametrize(
    "name",
    ["佐々木", "小明Tom", "a小", "민수kim", "〇〇", "ラーメン", "〆切", "ㄅㄆ小", "สวัสดี", "हिन्दी", "தமிழ்", "বাংলা", "မြန်မာ", "ខ្មែរ", "नाम१", "علي١٢",
     "علي12", "Nguyễn", "İbrahim", "გიორგი", "Ꮳ-ᎳᎩ", "ᠮᠣᠩᠭᠣᠯ", "ꆈꌠ"],
)  # fmt: skip
def test_names_of_the_world_are_accepted(name: str) -> None:
    """Combining marks, 々 and ー; Chinese, Japanese and Korean with Latin letters (UTS #39, highly restrictive)."""
    assert usernames.clean(name) == name


@pytest.mark.parametrize("name", ["-a", "a-", "--"])
def test_a_hyphen_stands_only_inside_a_name(name: str) -> None:
    """And the message says so: who typed one has kept to the characters that a name may hold."""
    with pytest.raises(ValidationError, match="- only between them"):
        usernames.clean(name)
    assert usernames.clean("a-a")


@pytest.mark.parametrize("name", ["ᴀᴅᴍɪɴ", "ᴀʟɪᴄᴇ", "ꜱᴜᴘᴘᴏʀᴛ", "ɴᴏʀᴇᴘʟʏ"])
def test_small_capitals_are_refused(name: str) -> None:
    """Phonetic letters that pass for a name's own, which the table of look-alikes leaves out; letters of languages stay."""
    with pytest.raises(ValidationError, match="in the username"):
        usernames.clean(name)
    for spoken in ("Łukasz", "Əli", "Ɓala", "ĸalaallit"):
        assert usernames.clean(spoken)


@pytest.mark.parametrize(
    "name",
    ["관리자\u1160", "\u115f\u115f", "ab\u3164", "\u3164\u3164", "ab\uffa0", "ab\u200d", "ab\u00ad", "ab\u2060", "ab\u202e", "ab\ufe0f",
     "ab\u034f", "\ufeffab", "ក\u17b4ខ", "ab\u2800", "ab\U000e0041"],
)  # fmt: skip
def test_invisible_characters_are_refused(name: str) -> None:
    """Also those that Unicode calls letters: a name beside which another one looks the same, or no name at all."""
    with pytest.raises(ValidationError, match="in the username"):
        usernames.clean(name)


@pytest.mark.parametrize(
    "name",
    [
        "user١",
        "user۱",
        "١12",
        "١۱ع",
        "११12",
        "小明१",
        "иванa",
        "ивanов",
        "小Д",
        "ひД",
        "한ひ",
        "한あ",
        "ㄅひ",
        "ก\u0301",
        "ab\u0e48",
    ],
)
def test_scripts_and_digits_are_not_mixed(name: str) -> None:
    """A name has one script, and digits of one kind."""
    with pytest.raises(ValidationError, match="one script in the username"):
        usernames.clean(name)


@pytest.mark.parametrize("name", ["a" + "\u0323\u0301" * 2 + "\u0302", "ก" + "\u0e49" * 2, "\u0301a", "\u0e49ก"])
def test_stacked_marks_are_refused(name: str) -> None:
    """They reach over the lines above; a mark needs a letter."""
    with pytest.raises(ValidationError, match="in the username"):
        usernames.clean(name)


@pytest.mark.parametrize(
    ("left", "right"),
    [("admın", "admin"), ("аdmin", "admin"), ("adrnin", "admin"), ("AdmIn", "admln"), ("r00t", "ROOT"), ("user١", "user1"),
     ("userl", "user1"), ("İbrahim", "ibrahim"), ("i\u0307van", "ivan"), ("관리자\u1160", "관리자"), ("αlpha", "alpha"), ("ѕсоре", "scope"),
     ("ロ木", "口木"), ("ад\u200bмин", "админ"), ("ꓐꓳꓐ", "bob"), ("ﬁona", "fiona"), ("１２", "12")],
)  # fmt: skip
def test_names_that_look_alike_are_one_name(left: str, right: str) -> None:
    """Both have the same key, so only one of them can be taken."""
    assert usernames.key(left) == usernames.key(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("anna", "hanna"), ("小明", "小朋"), ("user2", "user3"), ("민수", "민주"), ("สวัสดี", "สวัสติ"), ("ab", "a-b")],
)
def test_names_that_look_different_are_two_names(left: str, right: str) -> None:
    """The key is not coarser than what a reader sees."""
    assert usernames.key(left) != usernames.key(right)


@pytest.mark.parametrize(
    "name",
    ["admin", "Admin", "ROOT", "r00t", "admın", "ad-min", "_admin_", "Аdmin", "support", "moderator", "system", "管理员", "管理員", "客服", "客 服",
     "官方客服", "官_方", "システム", "관리자", "администратор", "administrateur"],
)  # fmt: skip
def test_names_of_the_site_and_its_staff_are_reserved(name: str) -> None:
    """However they are written."""
    assert usernames.is_reserved(name.replace(" ", ""))


@pytest.mark.parametrize("name", ["alice", "小明", "administer", "rooted", "客服小王", "supporter"])
def test_names_of_people_are_not_reserved(name: str) -> None:
    """A reserved name is a whole name, not a part of one."""
    assert not usernames.is_reserved(name)


@pytest.mark.parametrize("name", ["ㅋㅋ", "ㅠㅠ", "ㅇㅇ2", "ㄱㅏ", "김ㅎㅎ"])
def test_single_korean_letters_stay_as_they_look(name: str) -> None:
    """NFKC makes parts of a syllable of them, which are drawn high, low or flat. In the key they are those."""
    parts = unicodedata.normalize("NFKC", name)
    assert usernames.clean(name) == name != parts
    assert usernames.key(name) == usernames.key(parts)


def test_a_site_reserves_more_names(settings) -> None:
    """By RESERVED_USERNAMES, compared in the same way."""
    assert not usernames.is_reserved("doorcode")
    settings.RESERVED_USERNAMES = ["Doorcode", "校长"]
    assert usernames.is_reserved("D00RC0DE")
    assert usernames.is_reserved("校长")
    assert usernames.is_reserved("admin")


LETTERS = st.characters(categories=["L", "M", "N", "Pc", "Pd"])


@given(st.one_of(st.text(max_size=70), st.text(LETTERS, max_size=70)))
def test_a_key_is_its_own_key(typed: str) -> None:
    """Sign-in makes a key of a key."""
    assert usernames.key(usernames.key(typed)) == usernames.key(typed)


def test_every_letter_has_a_key_that_fits_the_column() -> None:
    """Twenty of the letter that grows most; beside letters, marks and numbers a name has only - and _."""
    column = User._meta.get_field("username_key").max_length
    letters = [each for each in map(chr, range(0x110000)) if unicodedata.category(each)[0] in "LMN"]
    stored = [each for each in letters if unicodedata.is_normalized("NFKC", each) or "ㄱ" <= each <= "ㅣ"]
    keys = [usernames.key(each * 20) for each in stored]
    assert max(map(len, keys)) <= column


@given(st.one_of(st.text(max_size=30), st.text(LETTERS, min_size=2, max_size=20)))
def test_a_clean_name_is_its_own_clean_form(typed: str) -> None:
    """And its key fits the column."""
    try:
        name = usernames.clean(typed)
    except ValidationError:
        return
    assert usernames.clean(name) == name
    assert 2 <= len(name) <= 20
    assert 0 < len(usernames.key(name)) <= usernames.KEY_LENGTH
    assert "@" not in name
