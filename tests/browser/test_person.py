"""The scripted person of `make lighthouse`, at sites of two and of three steps."""

from collections.abc import Callable
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.browser.conftest import read_code
from tests.tools.person import Person

pytestmark = pytest.mark.chromium

VALUES = {"email": "person@example.com", "username": "person", "new-password": "correct horse b"}
ADDRESS = '<input name="email" autocomplete="email">'
FIXED = '<input name="email" value="person@example.com" readonly>'
CODE = '<input name="code" autocomplete="one-time-code"{}>'
ACCOUNT = '<input name="username" autocomplete="username"><input name="password" autocomplete="new-password">'
SENDS_ITSELF = "<script>{ const code = document.querySelector('[name=code]'); " + (
    "code.addEventListener('input', () => code.value.length === 4 && code.form.requestSubmit()) }</script>"
)
ASKS_IN_BETWEEN = """<script>
  document.querySelector("[name=username]")?.addEventListener("input", () => fetch("/check", { method: "POST" }))
</script>"""
TWO_STEPS = [ADDRESS, FIXED + CODE.format("") + ACCOUNT]
THREE_STEPS = [ADDRESS, CODE.format(" autofocus"), ACCOUNT]


def site(steps: list[str], script: str) -> tuple[Callable[[Route], None], list[dict[str, list[str]]]]:
    """A site of one path with these forms, one after the other; and the list of what is posted to it."""
    posted: list[dict[str, list[str]]] = []

    def answer(route: Route) -> None:
        if route.request.url.endswith("/check"):
            route.fulfill(json={})
            return
        if route.request.method == "POST":
            posted.append(parse_qs(route.request.post_data or ""))
        number = len(posted)
        form = f'<form method="post">{steps[number]}<button>Go</button></form>' if number < len(steps) else ""
        script_here = script if "one-time-code" in form else ""
        body = f"<main><h1>Page {number}</h1>{form}</main>{script_here}{ASKS_IN_BETWEEN}"
        route.fulfill(content_type="text/html", body=body)

    return answer, posted


@pytest.mark.parametrize(
    ("steps", "script", "shown", "keys", "clicks"),
    [
        (TWO_STEPS, "", 5, 43 + 2 + 2, 2),  # two fields are reached by Tab, and Enter sends two forms
        (THREE_STEPS, "", 4, 43 + 1 + 3, 2),
        (THREE_STEPS, SENDS_ITSELF, 4, 43 + 1 + 2, 2),
    ],
    ids=["two steps", "three steps", "three steps, the code sends itself"],
)
def test_the_person_counts_what_a_site_asks(
    browser: Browser, steps: list[str], script: str, shown: int, keys: int, clicks: int
) -> None:
    """Fields, keys and clicks; and every value arrives once, in its own field."""
    answer, posted = site(steps, script)
    page = browser.new_page()
    page.route("**/*", answer)
    way = Person(page, VALUES, lambda: "1234", pace=0).sign_up("http://127.0.0.1/")
    page.close()
    assert {name: value for fields in posted for name, value in fields.items()} == {
        "email": [VALUES["email"]],
        "code": ["1234"],
        "username": [VALUES["username"]],
        "password": [VALUES["new-password"]],
    }
    assert (len(posted), way.total("shown"), way.total("filled")) == (len(steps), shown, 4)
    assert (way.total("keys"), way.total("clicks")) == (keys, clicks)


def test_the_person_gets_an_account(open_page: Callable[..., Page]) -> None:
    """In the real journey, by the keyboard and a click a page."""
    page = open_page()
    values = VALUES | {"email": "keys@example.com"}
    way = Person(page, values, lambda: read_code(page, values["email"]), pace=0).sign_up(page.url)
    assert way.steps[-1].name == "Your account"
    assert way.total("filled") == 4
