"""The translations of all languages: compare them with the sources, bring them up to date, begin a new one."""

import io
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.conf.locale import LANG_INFO
from django.utils.translation import to_locale
from django.utils.translation.template import templatize

from tests.tools import wording

KEYWORDS = {
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "_": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
}
_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)


def main(arguments: list[str] | None = None) -> int:
    """Run the tool; return its exit code."""
    parser = ArgumentParser(prog="python -m tests.tools.catalogues", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "--check", action="store_true", help="print what is missing or wrong; exit with 1 if anything is"
    )
    action.add_argument(
        "--update", action="store_true", help="bring the catalogues up to date with the sources, and compile"
    )
    action.add_argument("--add", metavar="CODE", choices=sorted(LANG_INFO), help="begin a new language")
    options = parser.parse_args(arguments)
    sources = extract_all()
    problems: list[str] = []
    for code in sorted({*dict(settings.LANGUAGES), *filter(None, [options.add])}):
        path = Path(settings.LOCALE_PATHS[0]) / to_locale(code) / "LC_MESSAGES" / "django.po"
        if options.update or code == options.add:
            _update(path, sources, code)
        problems += [f"{to_locale(code)}: {problem}" for problem in _problems(path, sources)]
    if problems and options.check:
        problems.append("The catalogues are not complete: run make messages, then translate")
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems and options.check else 0


def extract_all() -> Catalog:
    """Collect every translatable text of the Python sources and the templates."""
    catalog = Catalog(project="Doorcode", charset="utf-8")
    for path, source in _sources():
        found = extract("python", io.BytesIO(source.encode()), keywords=KEYWORDS, comment_tags=["Translators:"])
        for _line, message, comments, context in found:
            catalog.add(message, locations=[(path, 0)], auto_comments=comments, context=context)
    return catalog


def _sources() -> Iterator[tuple[str, str]]:
    base = Path(settings.BASE_DIR)
    for app in ("core", "verification", "worker", "signup"):
        for path in sorted((base / app).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(base)), path.read_text()
    for path in sorted((base / "templates").rglob("*.*")):
        lines = templatize(path.read_text(), origin=str(path)).splitlines()
        yield str(path.relative_to(base)), "\n".join(line.strip() for line in lines)  # an indent is nothing in a page


def _read(path: Path, code: str | None = None) -> Catalog:
    if not path.exists():
        return Catalog(locale=to_locale(code or "en"), charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def _update(path: Path, sources: Catalog, code: str) -> None:
    catalog = _read(path, code)
    catalog.update(deepcopy(sources), no_fuzzy_matching=True)  # it keeps the messages that it is given
    catalog.obsolete.clear()
    catalog.header_comment, catalog.fuzzy = "# Doorcode: the words of its pages and mails.", False
    catalog.creation_date = catalog.revision_date = _NO_DATE  # the history knows when; a date here only conflicts
    if code == "en":  # the sources are English: their own words are the translation
        for message in catalog:
            if message.id:
                message.string = message.id
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalog, width=120, sort_output=True, omit_header=False, include_lineno=False)
    path.with_suffix(".mo").write_bytes(_compiled(_read(path)))


def _compiled(catalog: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


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
    if not compiled.exists() or compiled.read_bytes() != _compiled(catalog):
        yield "django.mo is not compiled from django.po"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    sys.exit(main())
