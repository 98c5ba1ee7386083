"""
Usernames: the characters that they may hold, the key under which each is unique, and names that are reserved.

The key is the skeleton of a name (Unicode Technical Standard 39): the same for all names that a reader could take for
each other. Unicode's table comes with the package confusable-homoglyphs. Another version of it may give other
skeletons: then the keys have to be written anew, so pyproject.toml names one version.
"""

import unicodedata
from functools import cache
from pathlib import Path

import regex
from confusable_homoglyphs import utils
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from core import invisible, lengths

MIN_LENGTH, MAX_LENGTH = 2, 20  # characters
KEY_LENGTH = MAX_LENGTH * 6  # characters; the most by which a letter grows in `key`, a Hangul syllable of five parts

# Letters, marks, digits and 〇; - inside, _ anywhere. A mark belongs to the letter before it.
_CHARACTERS = regex.compile(
    r"[\p{L}\p{Nd}\p{Nl}_](?:[\p{L}\p{Nd}\p{Nl}\p{Mn}\p{Mc}_-]*[\p{L}\p{Nd}\p{Nl}\p{Mn}\p{Mc}_])?"
)
_STACKED_MARKS = regex.compile(r"(\p{Mn})\1|\p{Mn}{5}")  # UTS #39 §5.4
_NOT_JAMO = regex.compile(r"[^ㄱ-ㅣ]+")  # Korean letters that stand alone: NFKC makes parts of syllables of ㅋㅋ
_MARK = "\u200e"  # confusable-homoglyphs wraps right-to-left characters in it

# UTS #39 "highly restrictive": one script, or what Chinese, Japanese or Korean is written with, with Latin letters.
_TOGETHER = ["Latin Han Hiragana Katakana", "Latin Han Bopomofo", "Latin Han Hangul"]
# Scripts that are in use: UAX #31, tables 5 and 7, and Mongolian.
_ALONE = """
    Latin Cyrillic Greek Arabic Hebrew Thai Devanagari Armenian Bengali Ethiopic Georgian Gujarati Gurmukhi Kannada
    Khmer Lao Malayalam Myanmar Oriya Sinhala Tamil Telugu Thaana Tibetan Adlam Balinese Bamum Batak Canadian_Aboriginal
    Chakma Cham Cherokee Hanifi_Rohingya Javanese Kayah_Li Lepcha Limbu Lisu Mandaic Meetei_Mayek Miao Mongolian
    New_Tai_Lue Newa Nko Nyiakeng_Puachue_Hmong Ol_Chiki Osage Saurashtra Sundanese Syloti_Nagri Syriac Tai_Le Tai_Tham
    Tai_Viet Tifinagh Vai Wancho Yi
"""


def _written_in(scripts: str) -> str:
    """The pattern of a text in these scripts, and of characters that belong to none, such as digits and hyphens."""
    classes = [rf"\p{{Script_Extensions={script}}}" for script in ["Common", "Inherited", *scripts.split()]]
    return f"[{''.join(classes)}]+"


_IN_ONE_SCRIPT = regex.compile("|".join(map(_written_in, [*_TOGETHER, *_ALONE.split()])))


def clean(username: str) -> str:
    """
    Return a username as it will be shown, in NFKC except for single Korean letters: names that look alike are stored
    alike.

    Raises ValidationError "length" outside 2 to 20 characters, and "characters" for a name that could pass for an
    address or a link, has invisible characters, or mixes scripts or digits so as to look like another name.
    """
    if len(username) <= lengths.USERNAME:  # a longer one is refused as it is
        username = _NOT_JAMO.sub(lambda part: unicodedata.normalize("NFKC", part[0]), username.strip())
    if not MIN_LENGTH <= len(username) <= MAX_LENGTH:
        raise ValidationError(_("Username must be between 2 and 20 characters"), code="length")
    if not _CHARACTERS.fullmatch(username) or _STACKED_MARKS.search(username) or _is_unusable(username):
        raise ValidationError(
            _("Use letters, digits and _ in the username, and - only between them"), code="characters"
        )
    # A digit of another system has its zero at another place.
    zeros = {ord(char) - unicodedata.decimal(char) for char in username if char.isdecimal()}
    if len(zeros) > 1 or not _IN_ONE_SCRIPT.fullmatch(username):
        raise ValidationError(_("Use letters and digits of one script in the username"), code="characters")
    return username


def _is_unusable(username: str) -> bool:
    """
    Whether a character is invisible, or has no key for its look. Phonetic small capitals have none: UTS #39 restricts
    most of them and leaves them out of its table. Nor have characters that are too new for this Python to fold.
    """
    names = [unicodedata.name(char, "") for char in username]
    return invisible.is_in(username) or not all(names) or any("LETTER SMALL CAPITAL" in name for name in names)


def key(username: str) -> str:
    """
    Return the key under which a username is unique: its skeleton, in any case. admın, Admin, adrnin, and аdmin with a
    Cyrillic а, have the same.

    It is idempotent. A text that is too long for a username is returned as it is: normalization takes quadratic time.
    """
    if len(username) > lengths.USERNAME:
        return username
    skeleton = _fold(invisible.without(username))
    for _round in range(4):  # a prototype may fold or compose into a character that has one itself, up to three times
        skeleton = _fold(skeleton.translate(_prototypes()))
    return unicodedata.normalize("NFC", skeleton)


def _fold(text: str) -> str:
    """Without case and compatibility variants, decomposed."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    # A dot above i or j is not seen. A capital I, which folds to i, looks like l, as Unicode's table says.
    return folded.replace("i\u0307", "i").replace("j\u0307", "j").replace("i", "l")


@cache
def _prototypes() -> dict[int, str]:
    """By character, its prototype: the text that stands for all that look like it."""
    table = {
        char.strip(_MARK): [other["c"].strip(_MARK) for other in others]
        for char, others in utils.load("confusables.json").items()
    }
    # Unicode gives each character one prototype, which has none itself. The package lists each pair in both directions:
    # the entry of a character has its prototype alone, and the entry of a prototype all its characters.
    return {
        ord(char): others[0]
        for char, others in table.items()
        if len(char) == len(others) == 1 and _is_prototype(others[0], char, table)
    }


def _is_prototype(text: str, char: str, table: dict[str, list[str]]) -> bool:
    """Whether `text` stands for `char`. Of a pair without a third, the one that NFKC keeps, else the lower one."""
    is_common = len(text) > 1 or len(table[text]) > 1
    return is_common or text == min(text, char, key=lambda each: (not unicodedata.is_normalized("NFKC", each), each))


def is_reserved(username: str) -> bool:
    """Whether only an operator may give this name to an account. Hyphens and underscores don't make another name."""
    bare = _bare(username)
    return bare in _reserved() or bare in map(_bare, settings.RESERVED_USERNAMES)


@cache
def _reserved() -> set[str]:
    lines = (Path(__file__).parent / "data" / "reserved_usernames.txt").read_text(encoding="utf-8").splitlines()
    return {_bare(name) for line in lines if not line.startswith("#") for name in line.split()}


def _bare(username: str) -> str:
    return key(username).replace("-", "").replace("_", "")
