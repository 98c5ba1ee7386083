"""A real browser at the demo, which is the whole system in one process."""

import html
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.servers import ENVIRONMENT, HEADLESS, ROOT, free_port, listens, wait_until

# Playwright's loop runs in the thread of the tests, which Django would take for an async view.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

SHOTS = ROOT / "build" / "screenshots"
PATIENCE = 60_000  # milliseconds, for a browser and a server beside other tests
expect.set_options(timeout=PATIENCE)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo keeps its database."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="session")
def demo_url(demo_data: Path) -> Iterator[str]:
    """The demo, started as `make demo` starts it, on data of its own."""
    port, data = free_port(), demo_data
    command = [sys.executable, "-m", "signup.demo", "--port", str(port), "--data", str(data)]
    log = os.open(data / "demo.log", os.O_CREAT | os.O_WRONLY)
    # One mail a minute would make these tests wait, and a quick machine posts more than 60 forms in two.
    environment = {**ENVIRONMENT, "LANG": "C.UTF-8", "LIMIT_MAILS_MAILBOX": "", "LIMIT_REQUESTS_NETWORK": ""}
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: listens(port), "the demo")
        yield f"http://127.0.0.1:{port}"
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(timeout=30)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=HEADLESS, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, demo_url: str) -> Iterator[Callable[..., Page]]:
    """Open a page in a new browser profile; its console must stay silent."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(language: str = "en", path: str = "/signup/", **options: object) -> Page:
        contexts.append(browser.new_context(locale=language, base_url=demo_url, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    # A test that types before a page is complete has the focus where autofocus would put it: Chromium notes that.
    assert [text for text in complaints if not re.search(r"4(00|04|29) \(|^Autofocus processing was", text)] == []


def shot(page: Page, name: str) -> None:
    """Write a screenshot for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def violations(page: Page, rules: list[str], *, context: Any = None) -> list[dict[str, Any]]:
    """
    What axe-core finds against rules, or all of a tag, in a selector's elements. `Axe.run` loads the script again each
    time, and brings all that is right too: that takes twice as long.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    run = "([context, options]) => axe.run(context ?? document, options).then(found => found.violations)"
    return list(page.evaluate(run, [context, {"runOnly": rules, "resultTypes": ["violations"]}]))


def read_code(page: Page, address: str) -> str:
    """Read the newest code for an address in the demo's inbox, without a tab: that costs half a CPU second."""

    def find() -> re.Match[str] | None:
        inbox = html.unescape(page.request.get("/demo/inbox/").text())
        return re.search(rf">[^<]*?(\d{{4,}})[^<]*</a><br><span class=\"hint\"><bdi>{re.escape(address)}", inbox)

    return wait_until(find, f"the code for {address}")[1]


def choose(page: Page, language: str) -> None:
    """Another language, by its own name."""
    page.locator(".languages summary").click()
    page.get_by_role("button", name=language).click()
