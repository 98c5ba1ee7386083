"""The health check of page templates, as a site may replace each by one of its own."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.http import HttpRequest
from django.template import Engine
from django.template.loader import get_template
from django.template.loader_tags import BlockNode, ExtendsNode
from django.utils import translation
from django.utils.translation import gettext as _

from .registry import Finding, failed, ok, warning

PARTS = ("brand/head.html", "brand/logo.html", "brand/foot.html", "brand/terms.html")  # of pages; they need no view
SHORTEST = "error.html"  # has little beside base.html, the frame of all pages


def pages() -> Finding:
    """Whether each template can be read, the frame of all pages can be rendered, and a site's own has all blocks."""
    if found := faults():
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


def faults() -> list[str]:
    """
    Why templates can't be read; if all can, why parts of pages can't be rendered; if all can, why their frame can't.
    A fault breaks whatever includes its template too, so the first of these that fails has the cause.
    """
    return _faults(_names(), get_template) or _faults(PARTS, _render) or _faults([SHORTEST], _render)


def gaps() -> Iterator[str]:
    """What a site's folder lacks: all it may have; or, in a frame of its own, a block that other templates fill."""
    folder = settings.BRAND_DIR
    if folder and not any((folder / name).is_dir() for name in ("templates", "static", "locale")):
        yield _("BRAND_DIR has none of the folders templates, static and locale: %(path)s") % {"path": folder}
    engine: Any = Engine.get_default()
    for name in _names():
        try:
            template = engine.get_template(name)
            ours, _origin = engine.find_template(name, skip=[template.origin])
        except Exception:  # noqa: S112 - it is among the faults, or there is no other of this name
            continue
        if not template.nodelist.get_nodes_by_type(ExtendsNode):
            blocks = [{node.name for node in each.nodelist.get_nodes_by_type(BlockNode)} for each in (ours, template)]
            if missing := ", ".join(sorted(blocks[0] - blocks[1])):
                text = _("The template %(name)s lacks blocks that others fill: %(missing)s")
                yield text % {"name": name, "missing": missing}


def _names() -> list[str]:
    """The names of all page templates and frames of mails, ours and the site's own."""
    folders = map(Path, Engine.get_default().dirs)
    return sorted({path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*.html")})


def _faults(names: Iterable[str], use: Callable[[str], object]) -> list[str]:
    """The errors that `use` raises for these templates."""
    found = []
    for name in names:
        try:
            use(name)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
            found.append(_("The template %(name)s: %(fault)s") % {"name": name, "fault": fault})
    return found


def _render(name: str) -> None:
    """Render a template in each language."""
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            get_template(name).render({"status": 404}, HttpRequest())
