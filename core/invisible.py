"""Characters that nobody sees. They come along when a text is copied from a mail or a page, and can hide in it."""

import regex

# Unicode's Default_Ignorable_Code_Point (zero-width and filler characters, variation selectors), and format
# characters (direction marks).
CHARACTERS = r"\p{Default_Ignorable_Code_Point}\p{Cf}"

_INVISIBLE = regex.compile(rf"[{CHARACTERS}]+")


def is_in(text: str) -> bool:
    """Whether a text has a character that nobody sees."""
    return bool(_INVISIBLE.search(text))


def without(text: str) -> str:
    """Return a text without the characters that nobody sees."""
    return str(_INVISIBLE.sub("", text))


def one_line(text: str) -> str:
    """A stranger's text, as the admin and PostgreSQL can take it: no line breaks, NUL or other invisible characters."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
