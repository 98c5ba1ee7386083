"""Parallel posts against gunicorn on both databases: what must happen once happens once. Attacks 7, 8, 10, 13, 23, 69."""

import json
import re
from collections import Counter

import pytest
import requests

from tests.attacks.conftest import at_once
from tests.servers import System, Visitor, code_in

pytestmark = pytest.mark.redis

MISMATCH = "That code does not match this email address"
TOO_MANY = "Too many wrong codes. Get a new code"
LONGER, EIGHT = "sent a longer code", "The code must be 8 digits"


def twin(visitor: Visitor) -> Visitor:
    """Another connection of the same browser: requests' sessions are not made for threads."""
    other = Visitor(visitor.url)
    other.session.cookies.update(visitor.session.cookies)
    return other


def test_07_of_200_parallel_wrong_codes_five_are_compared(system: System) -> None:
    """Each compared code says how many tries are left, but for the last; all others are told that none is."""
    alice, email = Visitor(system.url), "alice-race@example.com"
    alice.post("/signup/", email=email)
    code = system.mail.code(email)
    wrong = [f"{number:04}" for number in range(300) if f"{number:04}" != code][:200]
    fields = {"email": email, "username": "alicerace", "password": "correct horse b"}
    answers = at_once(200, lambda n: twin(alice).post("/signup/verify/", captcha=wrong[n], **fields))
    assert {answer.status_code for answer in answers} == {400}
    texts = Counter(MISMATCH in answer.text for answer in answers)
    assert texts == {True: 4, False: 196}
    assert system.rows(f"SELECT attempts FROM verification_captchamodel WHERE address = '{email}'") == [(5,)]
    assert all(TOO_MANY in answer.text for answer in answers if MISMATCH not in answer.text)
    assert TOO_MANY in alice.post("/signup/verify/", captcha=code, **fields).text  # the right one too


def test_08_of_50_parallel_right_codes_one_makes_an_account(system: System) -> None:
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
    [(name,)] = system.rows(f"SELECT username FROM signup_user WHERE email = '{email}' AND is_active")
    assert re.fullmatch(r"bob\d+", name)


def test_10_on_many_handles_at_once_nine_wrong_codes_are_compared(system: System) -> None:
    """
    Twelve browsers guess at one address, sixty codes in parallel: the limit is the address's, and exact. Who is told
    how many tries are left was compared; everybody else is told of a longer code, or that it has eight digits now. Each
    browser gets one mail with it.
    """
    email = "erin-race@example.com"
    browsers = [Visitor(system.url) for _ in range(12)]
    for browser in browsers:
        browser.post("/signup/", email=email)
    system.mail.wait_for(email, number=12)
    codes = {code_in(mail) for mail in system.mail.to(email)}
    wrong = [f"{number:04}" for number in range(100) if f"{number:04}" not in codes][:60]
    fields = {"email": email, "username": "erinrace", "password": "correct horse b"}
    answers = at_once(60, lambda n: twin(browsers[n % 12]).post("/signup/verify/", captcha=wrong[n], **fields))
    told = Counter("You can try" in answer.text or "Get a new code" in answer.text for answer in answers)
    assert told == {True: 9, False: 51}
    refused = [answer.text for answer in answers if LONGER in answer.text or EIGHT in answer.text]
    assert len(refused) == 51
    [(guesses,)] = system.rows(f"SELECT guesses FROM verification_addressguesses WHERE address = '{email}'")
    assert len(json.loads(guesses) if isinstance(guesses, str) else guesses) == 9
    system.mail.wait_for(email, number=24)
    assert Counter(len(code_in(mail)) for mail in system.mail.to(email)) == {4: 12, 8: 12}


def test_13_no_code_of_one_request_fits_another(system: System) -> None:
    """Many live requests for one address: each browser's own code alone is right, and the first keeps its own."""
    email = "heidi-race@example.com"
    browsers = [Visitor(system.url) for _ in range(4)]
    for browser in browsers:
        browser.post("/signup/", email=email)
    system.mail.wait_for(email, number=4)
    codes = [code_in(mail) for mail in system.mail.to(email)]
    own = own_codes(system, browsers)
    fields = {"email": email, "username": "heidi", "password": "correct horse b"}
    foreign = [code for code in codes if code != own[0]]
    assert foreign, "four requests have one code"
    assert MISMATCH in browsers[0].post("/signup/verify/", captcha=foreign[0], **fields).text
    assert browsers[0].post("/signup/verify/", captcha=own[0], **fields).status_code == 303
    assert browsers[1].post("/signup/verify/", captcha=own[1], **fields).status_code == 400


def own_codes(system: System, browsers: list[Visitor]) -> list[str]:
    """The code of the request that each browser holds."""
    cookies = [browser.session.cookies["doorcode_signup"].strip('"') for browser in browsers]
    return system.shell(_CODES % cookies).split()


def test_23_parallel_sign_ups_of_one_address_make_one_user(system: System) -> None:
    """Each visitor gets a request of their own, the address one inactive user, and nobody an error."""
    email = "carol-race@example.com"
    answers = at_once(20, lambda n: Visitor(system.url).post("/signup/", email=email))
    assert {answer.status_code for answer in answers} == {303}
    assert users_and_requests(system, email) == (1, 20)


def users_and_requests(system: System, email: str) -> tuple[int, int]:
    [(users,)] = system.rows(f"SELECT count(*) FROM signup_user WHERE email = '{email}'")
    [(requests,)] = system.rows(f"SELECT count(*) FROM verification_captchamodel WHERE address = '{email}'")
    return users, requests


def test_69_tries_never_fall_below_none(system: System) -> None:
    """A lengthening meets a right code, on both databases; then the longer code has all of its tries, and no more."""
    shown = system.shell(_LENGTHENED)
    assert shown.split() == ["8", "0", "True"] * 2


def test_a_double_click_makes_one_request(system: System) -> None:
    """One code, one mail, one handle: whichever answer the browser keeps, the code fits."""
    grace, email = Visitor(system.url), "grace-race@example.com"
    once = re.search(r'name="once" value="([^"]+)"', grace.get("/signup/").text)[1]
    browsers = [twin(grace) for _ in range(6)]
    answers = at_once(6, lambda n: browsers[n].post("/signup/", email=email, once=once))
    assert {answer.status_code for answer in answers} == {303}
    code = system.mail.code(email)
    assert users_and_requests(system, email) == (1, 1)
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


_CODES = """
from django.core import signing
from verification import codes
from verification.models import CaptchaModel
for cookie in %s:
    handle = signing.loads(cookie, salt="doorcode.signup.handles")[0][0]
    print(codes.code_of(CaptchaModel.objects.get(handle=handle)))
"""
_LENGTHENED = """
from unittest.mock import patch
from django.test import override_settings
from core import clock
from verification import codes, services
from verification.models import CaptchaModel
real = codes.same
for proven in (False, True):
    sign_up = services.issue(address="judy-race@example.com", decoy=False)
    services.accept(mails=[(sign_up.pk, 1)], at=clock.now())
    sign_up.refresh_from_db()
    row = CaptchaModel.objects.filter(pk=sign_up.pk)
    def same(left, right):
        with override_settings(CAPTCHA_LENGTH=8):
            services.lengthen(sign_up=row.get())
        if proven:
            row.update(proven_at=clock.now())
        return real(left, right)
    with patch("verification.codes.same", same):
        services.prove(sign_up=sign_up, address=sign_up.address, code=codes.code_of(sign_up))
    print(row.get().length, row.get().attempts, row.get().proven_at is not None)
"""
