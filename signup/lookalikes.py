"""
The look of a text: one form for all texts that a reader could take for each other (Unicode Technical Standard #39).

Unicode's table comes with the package confusable-homoglyphs. Another version of it may give other forms: then the
keys of usernames have to be written anew, so pyproject.toml names one version.
"""

import unicodedata
from functools import cache

from confusable_homoglyphs import utils

from core import invisible

_MARK = "\u200e"  # the package wraps right-to-left characters in it


def look(text: str) -> str:
    """
    Return the UTS #39 skeleton of a text, in any case: admın, Admin, adrnin and аdmin with a Cyrillic а look alike.

    It is idempotent. The caller bounds the length, as normalization takes quadratic time.
    """
    form = _fold(invisible.without(text))
    for _ in range(4):  # a substitute may fold or compose into a character that has a substitute itself
        before, form = form, _fold(form.translate(_substitutes()))
        if form == before:
            break
    return unicodedata.normalize("NFC", form)


def _fold(text: str) -> str:
    """Without case and compatibility variants, decomposed."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    # A dot above i or j is not seen. A capital I, which folds to i, looks like l, as Unicode's table says.
    return folded.replace("i\u0307", "i").replace("j\u0307", "j").replace("i", "l")


@cache
def _substitutes() -> dict[int, str]:
    """By character, the text that stands for all that look like it."""
    table = {
        key.strip(_MARK): [other["c"].strip(_MARK) for other in others]
        for key, others in utils.load("confusables.json").items()
    }
    # Unicode gives each character one substitute, which has none itself. The package lists each pair in both
    # directions: the entry of a character has its substitute alone, and the entry of a substitute all its characters.
    return {
        ord(char): others[0]
        for char, others in table.items()
        if len(char) == len(others) == 1 and _is_substitute(others[0], char, table)
    }


def _is_substitute(text: str, char: str, table: dict[str, list[str]]) -> bool:
    """Whether `text` stands for `char`. Of two alone that look alike, the one that NFKC keeps, or the lower."""
    if len(text) > 1 or len(table[text]) > 1:
        return True
    return unicodedata.is_normalized("NFKC", text) and (text < char or not unicodedata.is_normalized("NFKC", char))
