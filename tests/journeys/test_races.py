"""Parallel posts against gunicorn on both databases: what must happen once happens once."""

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.servers import System, Visitor

pytestmark = pytest.mark.redis

MISMATCH = "That code does not match this email address"
TOO_MANY = "Too many wrong codes. Get a new code"


def at_once(number: int, act: Callable[[int], requests.Response]) -> list[requests.Response]:
    with ThreadPoolExecutor(max_workers=25) as pool:
        return list(pool.map(act, range(number)))


def twin(visitor: Visitor) -> Visitor:
    """Another connection of the same browser: requests' sessions are not made for threads."""
    other = Visitor(visitor.url)
    other.session.cookies.update(visitor.session.cookies)
    return other


def test_of_200_parallel_wrong_codes_five_are_compared(system: System) -> None:
    """Each compared code says how many tries are left; all others are told that none is."""
    alice, email = Visitor(system.url), "alice-race@example.com"
    alice.post("/signup/", email=email)
    code = system.mail.code(email)
    wrong = [f"{number:04}" for number in range(300) if f"{number:04}" != code][:200]
    fields = {"email": email, "username": "alicerace", "password": "correct horse b"}
    answers = at_once(200, lambda n: twin(alice).post("/signup/verify/", captcha=wrong[n], **fields))
    assert {answer.status_code for answer in answers} == {400}
    texts = Counter(MISMATCH in answer.text for answer in answers)
    assert texts == {True: 5, False: 195}
    assert all(TOO_MANY in answer.text for answer in answers if MISMATCH not in answer.text)
    assert TOO_MANY in alice.post("/signup/verify/", captcha=code, **fields).text  # the right one too


def test_of_50_parallel_right_codes_one_makes_an_account(system: System) -> None:
    """One browser is redirected to its account; the others find the proof spent."""
    bob, email = Visitor(system.url), "bob-race@example.com"
    bob.post("/signup/", email=email)
    code = system.mail.code(email)
    answers = at_once(
        50,
        lambda n: twin(bob).post(
            "/signup/verify/", email=email, captcha=code, username=f"bob{n}", password="correct horse b"
        ),
    )
    assert Counter(answer.status_code for answer in answers)[303] == 1
    assert {answer.status_code for answer in answers} <= {303, 400}
    winner = next(answer for answer in answers if answer.status_code == 303)
    assert winner.headers["Location"] == "/account/"
    names = system.manage("shell", "-v", "0", "-c", _NAMES % email)
    assert len(re.findall(r"bob\d+", names)) == 1


def test_20_parallel_sign_ups_of_one_address_make_one_user(system: System) -> None:
    """Each visitor gets a request of their own, the address one inactive user, and nobody an error."""
    email = "carol-race@example.com"
    answers = at_once(20, lambda n: Visitor(system.url).post("/signup/", email=email))
    assert {answer.status_code for answer in answers} == {303}
    assert system.manage("shell", "-v", "0", "-c", _COUNTS % (email, email)).split() == ["1", "20"]


def test_a_double_click_makes_one_request(system: System) -> None:
    """One code, one mail, one handle: whichever answer the browser keeps, the code fits."""
    grace, email = Visitor(system.url), "grace-race@example.com"
    once = re.search(r'name="once" value="([^"]+)"', grace.get("/signup/").text)[1]
    browsers = [twin(grace) for _ in range(6)]
    answers = at_once(6, lambda n: browsers[n].post("/signup/", email=email, once=once))
    assert {answer.status_code for answer in answers} == {303}
    code = system.mail.code(email)
    assert system.manage("shell", "-v", "0", "-c", _COUNTS % (email, email)).split() == ["1", "1"]
    fields = {"email": email, "username": "grace", "password": "correct horse b"}
    assert browsers[5].post("/signup/verify/", captcha=code, **fields).status_code == 303
    assert len(system.mail.to(email)) == 1


def test_two_people_choose_one_username_at_once(system: System) -> None:
    """One gets it; the other is told at the field, keeps the proof, and finishes with another name."""
    people = [(Visitor(system.url), f"dave{n}-race@example.com") for n in range(2)]
    for person, email in people:
        person.post("/signup/", email=email)
    codes = [system.mail.code(email) for person, email in people]

    def register(n: int) -> requests.Response:
        person, email = people[n]
        return person.post(
            "/signup/verify/", email=email, captcha=codes[n], username=["Frank", "fRANK"][n], password="correct horse b"
        )

    answers = at_once(2, register)
    assert sorted(answer.status_code for answer in answers) == [303, 400]
    loser = next(n for n in range(2) if answers[n].status_code == 400)
    assert "That username is taken. Choose another" in answers[loser].text
    person, email = people[loser]
    again = person.post("/signup/verify/", email=email, username="frank2", password="correct horse b")
    assert again.status_code == 303


_NAMES = """
from signup.models import User
print(list(User.objects.filter(email="%s", is_active=True).values_list("username", flat=True)))
"""
_COUNTS = """
from signup.models import User
from verification.models import CaptchaModel
print(User.objects.filter(email="%s").count(), CaptchaModel.objects.filter(address="%s").count())
"""
