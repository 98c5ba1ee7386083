"""The links of the pages in docs/ work, and the pages load nothing from other hosts."""

import os
import re
import shlex
import subprocess
import sys
from email.utils import parseaddr
from html.parser import HTMLParser
from pathlib import Path

import django
import psycopg
import pytest
import yaml
from django.apps import apps
from django.db.backends.postgresql.features import DatabaseFeatures
from django.db.models import AutoField

from core import mail_urls
from tests.core.test_settings import GOOD, load
from tests.servers import ROOT, Postgres
from worker import health, smtp

TOP = [ROOT / f"{name}.md" for name in ("README", "README.zh-Hans", "CHANGELOG", "CONTRIBUTING", "SECURITY")]


class Fetched(HTMLParser):
    """The URLs that a browser fetches by itself when it opens a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.urls += [named.get("src") or "", (named.get("href") or "") if tag == "link" else ""]


def sphinx(*arguments: str | Path) -> None:
    build = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    done = subprocess.run(
        [*build, *arguments], cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_link_and_anchor_leads_somewhere(tmp_path: Path) -> None:
    """And every page is in a list of the index; `make docs` writes the same as a site."""
    sphinx("--builder", "dummy", "docs", tmp_path)


def test_the_architecture_says_what_every_module_is_for() -> None:
    """Its tables name each; apps.py, models.py and urls.py of any app are Django's, and the demo is one folder."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"\b(\w+)\.py`", text)) | {"__init__", "__main__", "apps", "models", "urls"}
    folders = ("migrations", "commands", "formats", "demo")
    modules = [
        path
        for app in ("core", "verification", "worker", "signup")
        for path in (ROOT / app).rglob("*.py")
        if not set(folders) & set(path.parts)
    ]
    assert len(modules) > 100
    assert [path.relative_to(ROOT).as_posix() for path in modules if path.stem not in named] == []


def test_a_page_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    """All pages load styles, scripts and fonts from their own host."""
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "index.md").write_text("# A page\n\n```sh\nls\n```\n")
    sphinx("--builder", "html", "--conf-dir", "docs", source, site)
    pages = list(site.glob("*.html"))
    assert site / "index.html" in pages
    assert [url for page in pages for url in Fetched(page).urls if re.match(r"(https?:)?//", url)] == []
    styles = "".join(style.read_text() for style in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)]*", styles) == []


RECIPES = re.findall(r"```sh\n(EMAIL_URL=.+?)```", (ROOT / "docs/how-to/mail-providers.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("recipe", RECIPES, ids=[re.search(r"@?([a-z0-9.-]+):\d", each)[1] for each in RECIPES])
def test_a_recipe_for_a_mail_provider_can_be_copied(settings, recipe: str) -> None:
    """It starts, is encrypted, and the doctor finds the sender right."""
    given = dict(word.split("=", 1) for word in shlex.split(recipe, comments=True))
    assert set(given) == {"EMAIL_URL", "DEFAULT_FROM_EMAIL"}
    settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", given["EMAIL_URL"])]
    assert settings.MAIL_ROUTES[0].options["use_tls"] or settings.MAIL_ROUTES[0].options["use_ssl"]
    [sender] = load("DEFAULT_FROM_EMAIL", **GOOD, **given)
    assert not health._wants_another_sender(smtp.EmailBackend().server, [parseaddr(sender)[1]])


def test_the_example_of_a_sites_own_words_names_its_encoding() -> None:
    """msgfmt takes the header from the file, and Python reads a catalogue without one as ASCII: no page would work."""
    [example] = re.findall(r"```po\n(.+?)```", (ROOT / "docs/how-to/add-a-language.md").read_text(), re.DOTALL)
    assert example.startswith('msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n')


VALUES = r"""
# SECRET_KEY=old
SECRET_KEY=a$b=
SECRET_KEY_FALLBACKS=a\\b
DEFAULT_FROM_EMAIL="示例学校 <10001@qq.com>"
EMAIL_REPLY_TO='"Smith, Inc." <a@example.com>'
SITE_NAME="a\\b\"c"
METRICS_TOKEN='a\\b'
"""


def test_the_wrapper_of_bounces_reads_the_environment_as_systemd_does(tmp_path: Path) -> None:
    """Recipes have quotes around a sender. With them left on, no report of a bounce would be read. A key may have \\."""
    page = (ROOT / "docs" / "how-to" / "bounces.md").read_text()
    wrapper = page.partition("## The wrapper")[2].partition("```sh\n")[2].partition("```")[0]
    for path, instead in {
        "/etc/doorcode.env": f"{tmp_path}/doorcode.env",
        "/srv/doorcode/app": f"{tmp_path}",
        "/srv/doorcode/venv/bin/python manage.py bounce": "env",
    }.items():
        assert path in wrapper
        wrapper = wrapper.replace(path, instead)
    (tmp_path / "doorcode.env").write_text(VALUES)
    printed = subprocess.run(
        ["sh", "-c", wrapper], env={"PATH": os.defpath}, capture_output=True, text=True, check=True
    )
    assert {
        "SECRET_KEY=a$b=",
        "DEFAULT_FROM_EMAIL=示例学校 <10001@qq.com>",
        'EMAIL_REPLY_TO="Smith, Inc." <a@example.com>',
        r"SECRET_KEY_FALLBACKS=a\b",
        r'SITE_NAME=a\b"c',
        r"METRICS_TOKEN=a\\b",
    } <= set(printed.stdout.splitlines())


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_a_variable_can_be_copied_into_the_file_of_the_services(page: Path) -> None:
    """systemd takes a comment behind a value for a part of it, and a shell takes an unquoted semicolon for its end."""
    variables = re.findall(
        r"^ *[A-Z][A-Z_]+=.*", "\n".join(re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)), re.MULTILINE
    )
    assert [line for line in variables if " #" in line or re.search(r"=[^'\"(]*;", line)] == []


@pytest.mark.parametrize("page", TOP, ids=lambda page: page.name)
def test_links_of_the_first_pages_lead_somewhere(page: Path) -> None:
    """Those beside the code are no part of the site."""
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


@pytest.mark.postgres
def test_each_query_of_a_page_can_be_run(postgres: Postgres) -> None:
    """An operator copies it while something is wrong."""
    pages = "\n".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    blocks = re.findall(r"^ *```sql\n(.*?)```", pages, re.DOTALL | re.MULTILINE)
    queries = re.findall(r"^ *((?:SELECT|UPDATE|DELETE)\b[^;]*);", "".join(blocks), re.MULTILINE)
    assert len(queries) > 4
    with psycopg.connect(postgres.migrated_database()) as connection:
        for query in queries:
            connection.execute(f"EXPLAIN {query.replace('PID', '1')}")


def test_the_oldest_postgresql_is_the_one_that_django_connects_to() -> None:
    """A newer Django than that of the locks may ask for a newer one."""
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    [(locked, newer, of_django)] = re.findall(r"PostgreSQL (\d+) or newer \((\d+) with Django ([\d.]+)\)", page)
    oldest = newer if of_django == "{}.{}".format(*django.VERSION) else locked
    assert DatabaseFeatures.minimum_database_version == (int(oldest),)


def test_every_sequence_of_a_copied_database_is_set() -> None:
    """With one that is behind, new rows get numbers that are taken."""
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    [named] = re.findall(r"manage\.py sqlsequencereset (.+?) \|", page)
    models = apps.get_models(include_auto_created=True)
    assert named.split() == sorted({each._meta.app_label for each in models if isinstance(each._meta.pk, AutoField)})


def test_each_alert_names_a_runbook_that_is_there() -> None:
    """An operator who is woken has a page to open."""
    for rules in (ROOT / "docs").rglob("alerts.yml"):
        alerts = [rule for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]]
        books = {rule["alert"]: ROOT / rule["annotations"]["runbook"] for rule in alerts}
        assert [name for name, book in books.items() if not book.exists() or name not in book.read_text()] == []
