"""
A scripted person on the way from the first page to the account: what they are shown, what they type, how long it takes.

The person goes by what is on a page: fills each empty field by its `autocomplete`, and presses Enter unless the page
has sent itself. So this measures any number of steps.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Locator, Page, Request

# Seconds: the keystroke-level model of Card, Moran and Newell has 0.12 for a key of a good typist and 1.1 to point.
KEY, CLICK, LOOK = 0.12, 1.1, 1.0
GRACE = 0.3  # seconds until a page that sends itself must have begun to
TEXT_FIELDS = "main form input:visible:not([type=hidden])"


@dataclass
class Step:
    """One page, or the mail: what the person did there."""

    name: str
    shown: int = 0  # fields, also those that are filled and fixed
    filled: int = 0
    keys: int = 0  # one is the Enter that sends a form; another the Tab to the next field
    clicks: int = 0
    looks: int = 0


@dataclass
class Way:
    """All steps, and the seconds that the person waited for a page or the mail."""

    steps: list[Step] = field(default_factory=list)
    waited: float = 0.0

    def total(self, what: str) -> int:
        return sum(getattr(step, what) for step in self.steps)

    @property
    def seconds(self) -> float:
        """From opening the first page until the account is shown."""
        return self.total("keys") * KEY + self.total("clicks") * CLICK + self.total("looks") * LOOK + self.waited


class Person:
    """
    Somebody at a page of a browser. `values` are by `autocomplete`; the code is what `read_code` returns once it
    is in the mailbox. `pace` scales the person's own times: 0 is for tests.
    """

    def __init__(self, page: Page, values: dict[str, str], read_code: Callable[[], str], *, pace: float = 1.0) -> None:
        self.page, self.values, self.read_code, self.pace = page, values, read_code, pace
        self.way = Way()
        self._posts = 0
        page.on("request", self._count_post)

    def sign_up(self, url: str) -> Way:
        """From the address to the account."""
        with self._waiting():
            self.page.goto(url)
        while fields := self._arrive():
            if len(self.way.steps) > 10:
                raise AssertionError(f"the journey does not end: {self.page.locator('main').inner_text()}")
            self._fill(fields)
        return self.way

    @contextmanager
    def _waiting(self) -> Generator[None]:
        begun = time.monotonic()
        yield
        self.way.waited += time.monotonic() - begun

    def _count_post(self, request: Request) -> None:
        self._posts += request.method == "POST" and request.is_navigation_request()  # not what a script asks

    def _arrive(self) -> list[Locator]:
        """Note a page that has just come; return the fields to fill."""
        shown = self.page.locator(TEXT_FIELDS).all()
        self.way.steps.append(Step(self.page.locator("h1").inner_text(), shown=len(shown)))
        return [each for each in shown if each.is_editable() and not each.input_value()]

    def _fill(self, fields: list[Locator]) -> None:
        """Take a page in, fill its fields, and send it unless it sends itself."""
        step, posts = self.way.steps[-1], self._posts
        self._look(step)
        self.page.evaluate("document.documentElement.dataset.seen = ''")
        kind = ""
        for number, each in enumerate(fields):
            kind = each.get_attribute("autocomplete") or ""
            text = self._code() if kind == "one-time-code" else self.values[kind]
            self._reach(each, step, after_another=number > 0)
            self.page.keyboard.type(text, delay=KEY * 1000 * self.pace)
            step.filled, step.keys = step.filled + 1, step.keys + len(text)
        if kind == "one-time-code":
            self._give_grace(posts)
        if self._posts == posts:
            self._press("Enter", step)
        with self._waiting():
            self.page.locator("html:not([data-seen])").wait_for(state="attached")
            self.page.wait_for_load_state()

    def _code(self) -> str:
        """Go to the mailbox and read the code."""
        self.way.steps.append(Step("The mail"))
        self._look(self.way.steps[-1])
        with self._waiting():
            return self.read_code()

    def _look(self, step: Step) -> None:
        self._pause(LOOK)
        step.looks += 1

    def _reach(self, target: Locator, step: Step, *, after_another: bool) -> None:
        """Get the cursor into a field: it is there, or Tab brings it from the field before, or a click."""
        focused = "field => field === document.activeElement"
        if after_another and not target.evaluate(focused):
            self._press("Tab", step)
        if not target.evaluate(focused):
            self._pause(CLICK)
            target.click()
            step.clicks += 1

    def _press(self, key: str, step: Step) -> None:
        self._pause(KEY)
        self.page.keyboard.press(key)
        step.keys += 1

    def _give_grace(self, posts: int) -> None:
        end = time.monotonic() + GRACE
        while self._posts == posts and time.monotonic() < end:
            self.page.wait_for_timeout(10)

    def _pause(self, seconds: float) -> None:
        self.page.wait_for_timeout(seconds * 1000 * self.pace)
