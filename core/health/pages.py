"""The health check of page templates, as a site may replace each by one of its own."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.http import HttpRequest
from django.template.loader import get_template
from django.template.loader_tags import BlockNode, ExtendsNode
from django.utils import translation
from django.utils.translation import gettext as _

from .registry import Finding, failed, ok, warning

PARTS = ("brand/head.html", "brand/logo.html", "brand/foot.html", "brand/terms.html")  # of pages; they need no view
SHORTEST = "error.html"  # a page that is little but the frame of all


def pages() -> Finding:
    """Whether each template can be read, the frame of all pages can be made, and a site's own has all blocks."""
    if found := list(faults()):
        return failed("; ".join(found))
    found = list(gaps())
    return warning("; ".join(found)) if found else ok(_("every page can be made"))


@checks.register("doorcode", deploy=True)
def check_pages(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """The same as a system check of Django. It doesn't query the database."""
    hint = _("Check the templates in BRAND_DIR")
    return [
        *(checks.Error(text, hint=hint, id="doorcode.E022") for text in faults()),
        *(checks.Warning(text, hint=hint, id="doorcode.W014") for text in gaps()),
    ]


def faults() -> Iterator[str]:
    """The templates that can't be read, and the parts of every page that can't be made in a language; and why."""
    seen: set[str] = set()
    languages = [code for code, _name in settings.LANGUAGES]
    for name, code in [*product(_names(), [None]), *product(PARTS, languages), *product([SHORTEST], languages)]:
        fault = _fault(name, code)
        # The frame has the parts in it, and most faults are the same in each language.
        if fault and name not in seen and not (name == SHORTEST and seen):
            seen.add(name)
            yield _("The template %(name)s: %(fault)s") % {"name": name, "fault": fault}


def gaps() -> Iterator[str]:
    """The frames of a site's own that lack a block of ours: what other templates put there is not shown."""
    for name in _names():
        try:
            template = get_template(name).template  # type: ignore[attr-defined]
            ours, _origin = template.engine.find_template(name, skip=[template.origin])
        except Exception:  # noqa: S112 - it is among the faults, or there is no other of this name
            continue
        if not template.nodelist.get_nodes_by_type(ExtendsNode):
            blocks = [{node.name for node in each.nodelist.get_nodes_by_type(BlockNode)} for each in (ours, template)]
            if missing := ", ".join(sorted(blocks[0] - blocks[1])):
                text = _("The template %(name)s lacks blocks that others fill: %(missing)s")
                yield text % {"name": name, "missing": missing}


def _names() -> list[str]:
    """The names of all page templates and frames of mails, ours and the site's own."""
    engine: dict[str, Any] = settings.TEMPLATES[0]
    folders = [Path(folder) for folder in engine["DIRS"]]
    return sorted({path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*.html")})


def _fault(name: str, language: str | None) -> str:
    """Why a template can't be read or, where a language is given, made in it; "" if it can."""
    try:
        template = get_template(name)
        if language:
            with translation.override(language):
                template.render({"status": 404}, HttpRequest())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
