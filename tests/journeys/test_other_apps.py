"""An app of somebody else's runs in the project, on the same accounts: docs/examples/app, as it is."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.servers import ENVIRONMENT, ROOT, MailServer, Redis, System, Visitor

PASSWORD = "correct horse b"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """gunicorn and a worker with the settings of the app."""
    folder = tmp_path_factory.mktemp("site")
    path = f"{ENVIRONMENT['PYTHONPATH']}:{ROOT / 'docs' / 'examples' / 'app'}"
    own = {"DJANGO_SETTINGS_MODULE": "clubs.settings", "PYTHONPATH": path}
    with Redis() as redis, MailServer() as mail:
        database = f"sqlite:///{folder / 'db.sqlite3'}"
        with System(database=database, redis=redis.url, mail=mail, logs=folder, **own).run() as system:
            yield system


def register(site: System, name: str) -> Visitor:
    visitor, email = Visitor(site.url), f"{name}@example.com"
    visitor.post("/signup/", email=email)
    code = site.mail.code(email)
    done = visitor.post("/signup/verify/", email=email, captcha=code, username=name, password=PASSWORD)
    assert (done.status_code, done.headers["Location"]) == (303, "/clubs/")
    return visitor


@pytest.mark.redis
def test_a_new_account_is_known_to_the_app_at_once(site: System) -> None:
    """Its signal has made a row before the person sees the app's page, in the frame of all pages."""
    page = register(site, "alice").get("/clubs/")
    assert (page.status_code, "Hello, alice" in page.text, 'class="brand"' in page.text) == (200, True, True)


@pytest.mark.redis
def test_a_token_of_the_api_opens_the_calls_of_the_app(site: System) -> None:
    """The account has a public id there; without a token the answer is 401."""
    register(site, "bob")
    given = {"username": "bob", "password": PASSWORD}
    signed_in = requests.post(f"{site.url}/api/login/", json=given, timeout=30).json()
    headers = {"Authorization": f"Token {signed_in['token']}"}
    mine = requests.get(f"{site.url}/clubs/mine/", headers=headers, timeout=30)
    me = requests.get(f"{site.url}/api/users/me/", headers=headers, timeout=30)
    assert mine.json() == {"account": me.json()["id"], "club": "Newcomers"}
    refused = requests.get(f"{site.url}/clubs/mine/", timeout=30)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Token")


@pytest.mark.redis
def test_the_pages_of_the_app_are_for_people_who_are_signed_in(site: System) -> None:
    assert Visitor(site.url).get("/clubs/").headers["Location"] == "/login/?next=/clubs/"
    assert Visitor(site.url).get("/nowhere/").status_code == 404


@pytest.mark.redis
def test_a_deleted_account_leaves_nothing_in_the_app(site: System) -> None:
    carol = register(site, "carol")
    count = (
        "shell",
        "-v",
        "0",
        "-c",
        "from clubs.models import *; print(Member.objects.filter(account__username='carol').count())",
    )
    assert site.manage(*count).split() == ["1"]
    assert carol.post("/account/delete/", old_password=PASSWORD).status_code == 302
    assert site.manage(*count).split() == ["0"]


def test_an_app_that_keeps_accounts_from_being_deleted_is_told(tmp_path: Path) -> None:
    """By `manage.py check`: people could not delete their account any more."""
    shutil.copytree(ROOT / "docs" / "examples" / "app" / "clubs", tmp_path / "clubs")
    path = f"{ENVIRONMENT['PYTHONPATH']}:{tmp_path}"
    own = ENVIRONMENT | {"DJANGO_SETTINGS_MODULE": "clubs.settings", "PYTHONPATH": path, "DEBUG": "true"}

    def check() -> str:
        command = [sys.executable, "manage.py", "check"]
        done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    assert "no issues" in check()
    models = tmp_path / "clubs" / "models.py"
    cascading = models.read_text()
    models.write_text(cascading.replace("models.CASCADE", "models.PROTECT"))
    assert "clubs.Member.account: (doorcode.W010) People who have such a row can't delete their account" in check()
    below = "\n\nclass Fee(models.Model):\n    member = models.ForeignKey(Member, models.PROTECT, related_name='+')\n"
    models.write_text(cascading + below)
    assert "clubs.Fee.member: (doorcode.W010) People who have such a row can't delete their account" in check()
