"""
Honest people who sign up, as people do, and what harm the limits do to them: it should be none.

All sit behind one IPv4 address. Each is a script of clicks with pauses; one calendar runs them all, by a clock that is
moved. Pages are the real ones, by the test client; mails leave by the real outbox, some 15 minutes late.
"""

import heapq
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import chain, repeat

from django.http import HttpResponse
from django.test import Client

from core import clock
from tests.factories import PASSWORD, right, text_of, wrong
from tests.steps import deliver
from verification.models import CaptchaModel
from worker.models import Delivery

Script = Iterator[float]  # pauses, in seconds
Move = Callable[[timedelta], object]
NETWORK = "198.51.100.7"
TYPOS, SLOW = 0.05, 0.05
LATE = 15 * 60  # seconds
HABITS = ["plain", "plain", "plain", "double click", "two tabs", "back button", "impatient", "signs in again"]


class Crowd:
    """People by the day, and what happened to them: `harmed` counts what wasn't their fault, `done` who got through."""

    def __init__(self, *, people: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.people, self.harmed, self.done = people, Counter[str](), 0
        self.late: set[str] = set()
        self.posted = False  # since the postman last found no mail

    def run(self, move: Move) -> None:
        """Live through a day: most come between 8 and 20 h, a tenth of them in the busiest hour."""
        calendar: list[tuple[float, int, Script]] = []
        for number in range(self.people):
            start = self.random.triangular(0, 86_400, 12 * 3_600)
            heapq.heappush(calendar, (start, number, self._person(number)))
        heapq.heappush(calendar, (0.0, -1, self._postman()))
        now = 0.0
        while any(number >= 0 for _, number, _ in calendar):
            at, number, script = heapq.heappop(calendar)
            move(timedelta(seconds=at - now))
            now = at
            pause = next(script, None)
            if pause is not None:
                heapq.heappush(calendar, (at + pause, number, script))

    def _postman(self) -> Script:
        """A worker that looks every ten seconds, if a mail may wait; a slow mail server keeps some mails back."""
        while True:
            waiting = Delivery.objects.filter(state=Delivery.State.PENDING)
            self.posted = self.posted and waiting.exists()
            if self.posted:
                for row in waiting.filter(
                    attempts=0, recipient__in=self.late, created_at__gt=clock.now() - timedelta(seconds=LATE)
                ):
                    Delivery.objects.filter(pk=row.pk).update(next_attempt_at=row.created_at + timedelta(seconds=LATE))
                deliver()
            yield 10.0

    def _person(self, number: int) -> Script:
        email, habit = f"person{number}@example.com", self.random.choice(HABITS)
        if self.random.random() < SLOW:
            self.late.add(email)
        browser = Browser(self, email)
        yield from browser.asks(twice=habit == "double click")
        if habit == "two tabs":
            yield 5.0
            yield from browser.asks()
        if habit == "impatient":
            yield 70.0
            browser.expects(browser.post("/signup/resend/", email=email), 303, 400)
        yield from browser.waits()
        if habit == "back button":
            browser.expects(browser.client.get("/signup/", REMOTE_ADDR=NETWORK), 200)
            yield 3.0
            yield from browser.asks()
        yield from browser.verifies(number)
        if habit == "signs in again":
            browser.post("/logout/")
            yield 30.0
            browser.expects(browser.post("/login/", username=email, password=PASSWORD), 302)
        self.done += 1


class Browser:
    """One person's."""

    def __init__(self, crowd: Crowd, email: str) -> None:
        self.crowd, self.email, self.client = crowd, email, Client()

    def post(self, page: str, **fields: str) -> HttpResponse:
        self.crowd.posted = True
        return self.client.post(page, fields, REMOTE_ADDR=NETWORK)

    def expects(self, answer: HttpResponse, *statuses: int) -> HttpResponse:
        """Anything else is a harm."""
        if answer.status_code not in statuses:
            errors = re.findall(r'class="error"[^>]*>([^<]+)|<h1>([^<]+)', text_of(answer))
            self.crowd.harmed[f"{answer.status_code}: {errors[:2]}"] += 1
        return answer

    def asks(self, *, twice: bool = False) -> Script:
        page = self.client.get("/signup/", REMOTE_ADDR=NETWORK)
        once = re.findall(r'name="once" value="([^"]+)"', page.content.decode())[0]
        yield self.crowd.random.uniform(5, 30)
        for _ in range(2 if twice else 1):
            self.expects(self.post("/signup/", email=self.email, once=once), 303)
        yield self.crowd.random.uniform(1, 4)

    def waits(self) -> Script:
        """Until the page says that the mail was sent, then to find it. It asks ever less often, as the script does."""
        pauses = chain([5.0] * 4, repeat(15.0))
        while self.client.get("/signup/status/", REMOTE_ADDR=NETWORK).json()["state"] != "sent":
            yield next(pauses)
        yield self.crowd.random.uniform(5, 120)

    def verifies(self, number: int) -> Script:
        """Type the newest code, sometimes wrongly the first time."""
        sign_up = CaptchaModel.objects.filter(address=self.email).latest("pk")
        fields = {"email": self.email, "username": f"person{number}", "password": PASSWORD}
        while self.crowd.random.random() < TYPOS:
            answer = self.post("/signup/verify/", captcha=wrong(sign_up), **fields)
            if "That code does not match" not in text_of(answer):
                self.expects(answer, 0)
            yield 10.0
        self.expects(self.post("/signup/verify/", captcha=right(sign_up), **fields), 303)
        yield 1.0
