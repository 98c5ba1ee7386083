"""A site's own look."""

import os
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.http import HttpRequest
from django.test import Client
from django.utils import translation

from signup import views
from tests.core.test_settings import GOOD
from tests.servers import ROOT

SHOW = "from django.conf import settings as s; print(*s.TEMPLATES[0]['DIRS'], *s.STATICFILES_DIRS)"


@pytest.fixture
def brand(tmp_path: Path) -> Path:
    """The folder that docs/how-to/brand.md describes."""
    for name, text in {
        "static/doorcode/icon.svg": "<svg/>",
        "static/brand/brand.css": ":root { --brand: #0b7a55; }",
        "templates/brand/head.html": '{% load static %}<link rel="stylesheet" href="{% static \'brand/brand.css\' %}">',
        "templates/brand/foot.html": '<a href="/terms/">Terms</a>',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def folders(**environment: str) -> list[str]:
    """The folders in the settings, as another process reads them from the environment."""
    env = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "core.settings", **GOOD, **environment}
    done = subprocess.run([sys.executable, "-c", SHOW], cwd=ROOT, env=env, capture_output=True, text=True)
    return done.stdout.split()


def test_the_environment_puts_the_brand_first(brand: Path) -> None:
    """Its templates before ours, its static files where it has any."""
    ours = str(ROOT / "templates")
    assert folders() == [ours]
    assert folders(BRAND_DIR=str(brand)) == [f"{brand}/templates", ours, f"{brand}/static"]
    assert folders(BRAND_DIR="/nowhere") == ["/nowhere/templates", ours]


def test_a_page_wears_the_brand(db, client: Client, settings, brand: Path) -> None:
    """Style sheet, footer and logo; the rest stays ours."""
    templates = deepcopy(settings.TEMPLATES)
    templates[0]["DIRS"].insert(0, brand / "templates")
    settings.TEMPLATES, settings.STATICFILES_DIRS = templates, [brand / "static"]
    page = client.get("/signup/").content.decode()
    assert page.index("doorcode/site.css") < page.index("brand/brand.css")
    assert '<a href="/terms/">Terms</a>' in page
    assert finders.find("doorcode/icon.svg") == str(brand / "static/doorcode/icon.svg")
    assert finders.find("doorcode/site.css").startswith(str(ROOT))


def test_the_docs_show_terms_that_are_kept_in_each_language(settings, tmp_path: Path) -> None:
    """Of the example in brand.md the words stay, with the version that they name."""
    [example] = re.findall(r"## Terms.*?```html\n(.*?)```", (ROOT / "docs/how-to/brand.md").read_text(), re.DOTALL)
    (tmp_path / "brand").mkdir()
    (tmp_path / "brand/terms.html").write_text(example)
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "DIRS": [tmp_path, *engine["DIRS"]]}]
    for language, kept in {
        "en": "By creating an account you accept the terms of November 2026",
        "zh-hans": "点击“创建账号”，即表示你同意《服务条款》（2026 年 11 月版）",
    }.items():
        with translation.override(language):
            assert views._terms(HttpRequest()) == kept


def test_the_docs_name_the_variables_of_the_style_sheet() -> None:
    """brand.md lists all of them, and no others."""
    css = (ROOT / "signup/static/doorcode/site.css").read_text()
    page = (ROOT / "docs/how-to/brand.md").read_text()
    defined = {
        line.split(":")[0] for line in css.replace(";", "\n").replace("{", "\n").split() if line.startswith("--")
    }
    listed = {
        word
        for row in page.splitlines()
        if row.startswith("| `--")
        for word in row.split("|")[1].replace("`", "").replace(",", "").split()
    }
    assert defined == listed


def test_every_variable_that_a_style_sheet_uses_exists() -> None:
    """A browser ignores a misspelt one: the colour or line is missing."""
    files = (ROOT / "signup" / "static" / "doorcode").glob("*.css")
    sheets = [each.read_text() for each in files if each.name != "admin.css"]  # which has Django's variables
    assert len(sheets) == 2
    used, defined = (set(re.findall(each, "".join(sheets))) for each in (r"var\((--[\w-]+)", r"(--[\w-]+):"))
    assert used <= defined
