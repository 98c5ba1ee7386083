"""
The translations of all languages: compare them with the sources, bring them up to date, begin a new one.

A language has two catalogues: locale/<locale>/ for visitors, and locale/operators/<locale>/ for those who run a site. It
needs the visitors' alone; operators then read English.
"""

import io
import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from gettext import c2py
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf.locale import LANG_INFO
from django.utils.translation import to_locale
from django.utils.translation.template import templatize

from core import languages
from tests.tools import wording

BASE = Path(__file__).resolve().parents[2]
ROOT = BASE / "locale"
KEYWORDS = {**DEFAULT_KEYWORDS, "gettext_lazy": None, "gettext_noop": None, "ngettext_lazy": (1, 2)}
# The sources whose texts only operators and developers read. A text that stands elsewhere too is a visitor's.
OPERATORS = re.compile(
    r"core/(apps|checks|settings)\.py|core/(health|management)/|(verification|worker)/|signup/(admin|demo|management)/"
    r"|signup/(apps|models|statistics)\.py|signup/api/(schema|serializers|views)\.py|templates/(admin|api)/"
)
_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the tool; return its exit code."""
    parser = ArgumentParser(prog="python -m tests.tools.catalogues", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "--check", action="store_true", help="print what is missing or wrong; exit with 1 if anything is"
    )
    action.add_argument(
        "--update", action="store_true", help="bring the catalogues up to date with the sources, and compile"
    )
    action.add_argument("--add", metavar="CODE", type=_known, help="begin a new language")
    parser.add_argument("--only", metavar="CODE", help="one language instead of all")
    options = parser.parse_args(arguments)
    if options.add:
        _begin(root, options.add)
    sources, only = extract_all(), options.add or options.only
    chosen = [(path, texts) for path, texts in _catalogues(root, sources) if only in (None, _code(path))]
    if not options.check:
        for path, texts in chosen:
            _update(path, texts)
        for path, _texts in _catalogues(root, sources):
            if only in (None, *_stand_ins(path)):
                path.with_suffix(".mo").write_bytes(_compiled(path))
    drafts = [code for code, entry in languages.read(root / "languages.toml").items() if entry["draft"]]
    problems = [
        f"{path.parent.parent.relative_to(root)}: {problem}"
        for path, texts in chosen
        if only or _code(path) not in drafts
        for problem in _problems(path, texts)
    ]
    if problems and options.check:
        problems.append("The catalogues are not complete: run make messages, then translate")
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems and options.check else 0


@cache
def extract_all() -> Catalog:
    """Collect every translatable text of the Python sources and the templates."""
    catalog = Catalog(project="Doorcode", charset="utf-8")
    for path, source in _sources():
        found = extract("python", io.BytesIO(source.encode()), keywords=KEYWORDS, comment_tags=["Translators:"])
        for _line, message, comments, context in found:
            catalog.add(message, locations=[(path, 0)], auto_comments=comments, context=context)
    return catalog


def is_for_operators(message: Message) -> bool:
    """Whether no visitor reads a text."""
    return all(OPERATORS.match(path) for path, _line in message.locations)


def _known(code: str) -> str:
    """A language that Django or CLDR knows."""
    try:
        Locale.parse(to_locale(code))
    except (UnknownLocaleError, ValueError):
        if code not in LANG_INFO:
            raise ArgumentTypeError(f"{code!r} is no language that Django or CLDR knows") from None
    return languages.code_of(code)


def _begin(root: Path, code: str) -> None:
    """Enter a language into languages.toml, under the names that Django or CLDR has for it."""
    path = root / "languages.toml"
    if code in languages.read(path):
        return
    info = LANG_INFO.get(code, {})
    if "name_local" not in info:
        locale = Locale.parse(to_locale(code))
        names = {"name_local": locale.get_display_name(), "name": locale.get_display_name("en")}
        info = {**names, "bidi": locale.text_direction == "rtl"}
    name = info["name_local"][:1].upper() + info["name_local"][1:]
    bidi = "bidi = true\n" if info["bidi"] else ""
    with path.open("a") as file:
        file.write(f'\n[{code}]\nname_local = "{name}"\nname = "{info["name"]}"\n{bidi}draft = true\n')


def _catalogues(root: Path, sources: Catalog) -> Iterator[tuple[Path, Catalog]]:
    """Yield each catalogue of each language, and what the sources have for it."""
    both: tuple[Catalog, Catalog] = Catalog(charset="utf-8"), Catalog(charset="utf-8")
    for message in sources:
        if message.id:
            both[is_for_operators(message)][message.id] = message
    for code in sorted(languages.read(root / "languages.toml")):
        yield root / to_locale(code) / "LC_MESSAGES" / "django.po", both[False]
        operators = root / "operators" / to_locale(code)
        if operators.is_dir():
            yield operators / "LC_MESSAGES" / "django.po", both[True]


def _code(path: Path) -> str:
    return languages.code_of(path.parent.parent.name)


def _sources() -> Iterator[tuple[str, str]]:
    for app in ("core", "verification", "worker", "signup"):
        for path in sorted((BASE / app).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(BASE)), path.read_text()
    for path in sorted((BASE / "templates").rglob("*.*")):
        lines = templatize(path.read_text(), origin=str(path)).splitlines()
        yield str(path.relative_to(BASE)), "\n".join(line.strip() for line in lines)  # an indent is nothing in a page


def _read(path: Path) -> Catalog:
    if not path.exists():
        return Catalog(locale=path.parent.parent.name, charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def _update(path: Path, sources: Catalog) -> None:
    catalog = _read(path)
    catalog.update(deepcopy(sources), no_fuzzy_matching=True)  # it keeps the messages that it is given
    catalog.obsolete.clear()
    for_whom = "those who run a site" if path.parents[2].name == "operators" else "its visitors"
    catalog.header_comment, catalog.fuzzy = f"# Doorcode: the words for {for_whom}.", False
    catalog.creation_date = catalog.revision_date = _NO_DATE  # the history knows when; a date here only conflicts
    if _code(path) == languages.BASE:  # the sources are English: their own words are the translation
        for message in catalog:
            if message.id:
                message.string = message.id
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalog, width=120, sort_output=True, omit_header=False, include_lineno=False)


def _compiled(path: Path) -> bytes:
    """A catalogue with its gaps filled by the languages that stand in. Django would fill them by LANGUAGE_CODE's."""
    catalog = _read(path)
    for code in _stand_ins(path)[1:]:
        other = _read(path.parents[2] / to_locale(code) / "LC_MESSAGES" / "django.po")
        for message in other:
            mine = catalog.get(message.id, message.context) if message.id else None
            if mine is not None and not all(wording.both(mine.string)):
                mine.string = _in_forms_of(catalog, message.string, other)
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def _stand_ins(path: Path) -> list[str]:
    """The languages whose texts a compiled catalogue has, its own first."""
    return [*languages.fallbacks(_code(path)), languages.BASE]


def _in_forms_of(catalog: Catalog, string: str | tuple[str, ...], other: Catalog) -> str | tuple[str, ...]:
    """A translation of another language, with as many plural forms as this one has."""
    if isinstance(string, str):
        return string
    mine, theirs = c2py(catalog.plural_expr), c2py(other.plural_expr)  # each chooses the plural form for a number
    # The largest number of a form: 21 shares one with 1 in Russian, and "21 minute" is no English.
    largest = {mine(number): number for number in range(200)}
    return tuple(string[theirs(largest[form])] for form in range(catalog.num_plurals))


def _problems(path: Path, sources: Catalog) -> Iterator[str]:
    if not path.exists():
        yield "no catalogue"
        return
    catalog = _read(path)
    known = {message.id for message in catalog if message.id}
    wanted = {message.id for message in sources if message.id}
    yield from (f"not in the catalogue: {id!r}" for id in sorted(wanted - known, key=str))
    yield from (f"no longer in the sources: {id!r}" for id in sorted(known - wanted, key=str))
    for message in catalog:
        if message.id:
            yield from wording.problems(message, path.parent.parent.name)
    compiled = path.with_suffix(".mo")
    if not compiled.exists() or compiled.read_bytes() != _compiled(path):
        yield "django.mo is not compiled from django.po"


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    sys.exit(main())
