"""Static files, collected as in the image and served as in production; and those of a checkout."""

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from django.contrib.staticfiles import finders
from django.test import Client
from django.utils.module_loading import import_string

from tests.core.test_settings import GOOD, load
from tests.servers import ENVIRONMENT, copy_image, free_port, listens, process, wait_until

pytestmark = pytest.mark.xdist_group("static")  # the image is made once

FOREVER = "max-age=315360000, public, immutable"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the image: what the Dockerfile copies into it, and its own command run there."""
    app = tmp_path_factory.mktemp("image")
    copy_image(app)
    return app


@pytest.fixture(scope="module")
def site(image: Path) -> Iterator[str]:
    """gunicorn in that folder; return its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    given = {**ENVIRONMENT, **GOOD, "SITE_URL": url, "REDIS_URL": "memory://", "LOG_LEVEL": "WARNING"}
    command = ("-m", "gunicorn", "core.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "1")
    with process(sys.executable, *command, cwd=image, env=given):
        wait_until(lambda: listens(port), "gunicorn")
        yield url


def files_in(page: str) -> list[str]:
    return re.findall(r'(?:href|src)="(/static/[^"]+)"', page)


def test_production_serves_hashed_and_compressed_files_for_years(site: str) -> None:
    """Each file of a page has its content's hash in its name, and comes compressed."""
    files = files_in(requests.get(f"{site}/signup/", timeout=30).text)
    assert {Path(each).suffix for each in files} == {".css", ".js", ".svg"}
    for file in files:
        assert re.fullmatch(r"/static/doorcode/\w+\.[0-9a-f]{12}\.\w+", file), file
        answer = requests.get(site + file, headers={"Accept-Encoding": "gzip"}, timeout=30)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, FOREVER)
        assert answer.headers["Content-Encoding"] == "gzip", file


def test_the_admins_files_are_hashed_too(site: str) -> None:
    """And every file that their style sheets name exists."""
    files = files_in(requests.get(f"{site}/admin/login/", timeout=30).text)
    assert any("/static/admin/" in each for each in files)
    for file in files:
        answer = requests.get(site + file, timeout=30)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, FOREVER), file


def test_a_file_by_its_own_name_is_cached_for_a_minute(site: str) -> None:
    """Its content may change with the next release."""
    answer = requests.get(f"{site}/static/doorcode/site.css", timeout=30)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "max-age=60, public")


def test_the_image_has_its_manifest(image: Path) -> None:
    """Without it every name would be the file's own."""
    assert (image / "staticfiles" / "staticfiles.json").exists()


def test_without_collectstatic_pages_have_their_files(db, client: Client, settings, tmp_path: Path) -> None:
    """In a checkout, by their own names."""
    settings.STATIC_ROOT, settings.WHITENOISE_AUTOREFRESH = tmp_path, False
    files = files_in(client.get("/signup/").content.decode())
    assert "/static/doorcode/site.css" in files
    for file in files:
        assert finders.find(file.removeprefix("/static/")), file
        with closing(client.get(file)) as answer:
            assert answer.status_code == 200


def test_the_demo_serves_the_sources(image: Path) -> None:
    """It knows no hashed name, although files were collected in its folder, and perhaps long ago."""

    def url(**environment: str) -> str:
        [storages] = load("STORAGES", **GOOD, **environment)
        storage = import_string(storages["staticfiles"]["BACKEND"])
        return storage(location=image / "staticfiles", base_url="/static/").url("doorcode/site.css")

    assert url() != "/static/doorcode/site.css"
    assert url(DEBUG="true", DEMO="true") == "/static/doorcode/site.css"
