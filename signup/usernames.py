"""Usernames: the characters that they may hold, and the key under which each is unique."""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from core import lengths

MIN_LENGTH, MAX_LENGTH = 2, 20  # characters

_SCRIPTS = ("LATIN", "CJK", "CYRILLIC", "GREEK", "HIRAGANA", "KATAKANA", "HANGUL", "ARABIC", "HEBREW", "THAI")
_JAPANESE = {"CJK", "HIRAGANA", "KATAKANA"}
_WORD = re.compile(r"\w(?:[\w-]*\w)?")


def clean(username: str) -> str:
    """
    Return a username as it will be shown, in NFKC: names that look alike are stored alike.

    Raises ValidationError "length" outside 2 to 20 characters, and "characters" for a name that could pass for an
    address or a link, has zero-width characters, or mixes scripts so as to look like another name.
    """
    if len(username) <= lengths.USERNAME:  # a longer one is refused as it is
        username = unicodedata.normalize("NFKC", username.strip())
    if not MIN_LENGTH <= len(username) <= MAX_LENGTH:
        raise ValidationError(_("Username must be between 2 and 20 characters"), code="length")
    if not _WORD.fullmatch(username):
        raise ValidationError(_("Use letters, digits, - and _ in the username"), code="characters")
    scripts = {_script(char) for char in username if char.isalpha()}
    if len(scripts) > 1 and not scripts <= _JAPANESE:
        raise ValidationError(_("Use letters of one script in the username"), code="characters")
    return username


def key(username: str) -> str:
    """
    Return the key under which a username is unique: NFKC, case-folded, composed again (Unicode §3.13 D146).

    A text that is too long for a username is returned as it is.
    """
    if len(username) > lengths.USERNAME:
        return username
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())


def _script(char: str) -> str:
    name = unicodedata.name(char, "UNNAMED")
    return next((script for script in _SCRIPTS if script in name), name.split()[0])
