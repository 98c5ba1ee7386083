"""Nobody learns who has an account: attacks 1 to 6, 74 and 75."""

import random
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from unittest.mock import Mock

import pytest
from django.contrib.auth import authenticate
from django.core.mail import EmailMessage
from django.db.models.signals import post_init
from django.http import HttpResponse
from django.test import Client, RequestFactory

from core import clock, mail_urls
from signup import services, visitor
from signup.accounts import services as account_services
from signup.models import User
from tests.attacks import timing
from tests.attacks.statistics import p_value
from tests.factories import ALICE, BOB, PASSWORD, FrozenClock, make_pending, make_user, right, text_of, wrong
from tests.servers import System
from tests.steps import accept, ask, deliver, verify
from tests.worker.sink import Sink
from verification.models import CaptchaModel
from worker import bounces, outbox, sending, smtp
from worker.classification import Cause, Outcome, Reply
from worker.models import Delivery

pytestmark = pytest.mark.django_db

ask_code = partial(services.request_code, language="en", held={})
RANDOM = {"Content-Length", "X-Request-ID"}
PEOPLE = {"new": "anna@example.com", "pending": "anne@example.com", "registered": "anni@example.com"}


@pytest.fixture
def people() -> dict[str, str]:
    """An address of each kind, all of one length."""
    make_pending(PEOPLE["pending"])
    make_user("anni", PEOPLE["registered"])
    return PEOPLE


def seen(answer: HttpResponse, address: str) -> tuple:
    """All that a stranger sees of an answer, but for random values and what they typed themselves."""
    random = r'(name="(?:csrfmiddlewaretoken|once|captcha|ref)" value="|[?]ref=|reference )[^"<]+'
    text = re.sub(random, r"\1…", answer.content.decode())
    cookies = {
        name: (len(cookie.value) // 8, cookie["max-age"], cookie["samesite"], cookie["httponly"])
        for name, cookie in answer.cookies.items()
    }
    headers = {name: value for name, value in answer.headers.items() if name not in RANDOM}
    return answer.status_code, headers, cookies, text.replace(address, "…")


def journey(address: str) -> list[tuple]:
    """Everything that can be asked without reading the address's mail, in one browser."""
    client, answers = Client(), []

    def note(answer: HttpResponse) -> None:
        answers.append(seen(answer, address))

    def look() -> None:
        note(client.get("/signup/verify/"))
        status = client.get("/signup/status/").json()
        answers.append((status["state"], bool(status["sent_at"]), status["resend_after"]))

    fields = {"email": address, "username": "somebody", "password": PASSWORD}
    note(client.post("/signup/", {"email": address}))
    look()
    note(client.post("/signup/verify/", {**fields, "captcha": wrong(CaptchaModel.objects.latest("pk"))}))
    sign_up = accept()
    look()
    for _ in range(6):
        note(client.post("/signup/verify/", {**fields, "captcha": wrong(sign_up)}))
    note(client.post("/signup/verify/", {**fields, "captcha": ""}))
    note(client.post("/signup/resend/", {"email": address}))
    note(client.post("/signup/", {"email": address}))
    CaptchaModel.objects.filter(pk=sign_up.pk).update(requested_at=clock.now().replace(year=2000))
    note(client.post("/signup/resend/", {"email": address}))
    sign_up = accept()
    for _ in range(6):
        note(client.post("/signup/verify/", {**fields, "captcha": wrong(sign_up)}))
        sign_up.refresh_from_db()
    look()
    note(client.post("/password-reset/", {"email": address}))
    note(client.post("/login/", {"username": address, "password": "wrong"}))
    return answers


def test_01_new_pending_and_registered_addresses_answer_alike(people, limited) -> None:
    """Status, body, headers, cookies and redirects, from the first page to the last try."""
    new, pending, registered = (journey(address) for address in people.values())
    assert new == pending == registered
    assert len(new) > 25


def test_01_an_accounts_language_is_not_seen(people, limited, settings) -> None:
    """Its mail is in that language, and each language may have a sender of its own."""
    settings.FROM_EMAILS = {"en": "Site <en@example.com>", "fr": "Site <fr@example.com>"}
    User.objects.filter(email=people["registered"]).update(language="fr")
    assert journey(people["new"]) == journey(people["registered"])
    assert set(Delivery.objects.values_list("language", flat=True)) == {"en", "fr"}


@pytest.mark.redis
def test_02_time_tells_nothing(system: System) -> None:
    """
    200 requests for known and unknown accounts, interleaved at random, at sign-up, sign-in and reset: the rank test
    finds no difference. Chance alone makes it see one in a hundred runs; three in a row it is one in a million.
    """
    for door in timing.doors(system, number=100).values():
        assert any(timing.compare(door, number=100) > 0.01 for _ in range(3))


def test_02_an_unknown_name_makes_the_work_of_a_known_one(rf: RequestFactory, monkeypatch) -> None:
    """One object of the model, which takes some 50 µs, and one hash: 1,000 sign-ins show a difference of that."""
    make_user()
    authenticate(rf.post("/login/"), username=BOB, password="wrong horse")  # the process's first unknown name
    work = Mock()
    post_init.connect(work.made, sender=User, weak=False)
    monkeypatch.setattr("django.contrib.auth.hashers.verify_password", work.compared)
    work.compared.return_value = (False, False)
    try:
        counts = []
        for name in (ALICE, BOB, "alice", "bob"):
            work.reset_mock()
            authenticate(rf.post("/login/"), username=name, password="wrong horse")
            counts.append((work.made.call_count, work.compared.call_count))
    finally:
        post_init.disconnect(work.made, sender=User)
    assert counts == [(1, 1)] * 4


@pytest.mark.django_db(transaction=True)  # workers are notified after a commit
@pytest.mark.parametrize("broken", ["broker", "redis"])
def test_03_trouble_makes_no_difference(people, limited, monkeypatch, broken: str) -> None:
    """With the broker or Redis away, all kinds of addresses get what they always get."""
    well, lost = journey("anno@example.com"), []
    if broken == "broker":
        monkeypatch.setattr("worker.notify.notify_workers", lost.append)
    else:
        monkeypatch.setattr("core.ratelimit.redis_client", _refused)
    assert [journey(address) for address in people.values()] == [well] * 3
    assert bool(lost) == (broken == "broker")


def test_03_a_mail_server_that_is_down_makes_no_difference(people, frozen_clocks: FrozenClock) -> None:
    """Each kind of address sees its mail put off, tried again for two hours, and given up."""
    fates = [_fate(address, Reply(Outcome.UNAVAILABLE, "no connection"), frozen_clocks) for address in people.values()]
    assert fates[0] == fates[1] == fates[2]
    assert [each[0] for each in fates[0]][::24] == ["delayed", "failed"]
    refused = [_fate(address, Reply(Outcome.REFUSED, "550 no"), frozen_clocks) for address in people.values()]
    assert refused[0] == refused[1] == refused[2]
    assert refused[0][0][0] == "failed"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(Outcome.REFUSED, "550 5.1.1 no such user"),
        Reply(Outcome.REFUSED, "554 DT:SPM"),
        Reply(Outcome.DEFERRED, "550 Connection frequency limited"),
    ],
    ids=["mailbox", "content", "rate"],
)
def test_03_whose_a_refusal_is_makes_no_difference(
    people, frozen_clocks: FrozenClock, monkeypatch, reply: Reply
) -> None:
    """Each kind of address reads the same words, and sees the same states at the same times, chance aside."""
    monkeypatch.setattr("worker.outbox.random.uniform", lambda low, high: 1.0)
    fates = [_fate(address, reply, frozen_clocks) for address in people.values()]
    assert fates[0] == fates[1] == fates[2]


@pytest.mark.parametrize("kind", Delivery.RETURNED)
def test_03_a_bounce_or_a_complaint_makes_no_difference(
    people, frozen_clocks: FrozenClock, kind: Delivery.State
) -> None:
    """Nor does the mail that is not sent afterwards, as the address is suppressed."""
    fates = [_return(address, kind, frozen_clocks) for address in people.values()]
    assert fates[0] == fates[1] == fates[2]
    assert [state for state, *_ in fates[0]] == ["sent" if kind == "complained" else "bounced", "failed"]


def _return(address: str, kind: Delivery.State, frozen_clock: FrozenClock) -> list[tuple]:
    """The answers to a browser after its mail came back, and after it asks for another one."""
    client, answers = Client(), []
    ask(client, address)
    [mail] = deliver()
    bounces.record(bounces.Report(kind, "550 5.1.1", cause=Cause.MAILBOX, message_id=mail.message_id))
    for _ in range(2):
        status = client.get("/signup/status/").json()
        answers.append((status["state"], status.get("reason"), seen(client.get("/signup/verify/"), address)))
        frozen_clock.move(minutes=2)
        client.post("/signup/resend/", {"email": address})
        sending.deliver()
    return answers


def _fate(address: str, reply: Reply, frozen_clock: FrozenClock) -> list[tuple]:
    """The states of a browser's mail while a mail server answers each try so, every five minutes for two hours."""
    client, answers = Client(), []
    client.post("/signup/", {"email": address})
    for _ in range(25):
        outbox.settle(results=[(each, reply) for each in outbox.claim(limit=10)])
        status = client.get("/signup/status/").json()
        answers.append((status["state"], status["sent_at"], seen(client.get("/signup/verify/"), address)))
        frozen_clock.move(minutes=5)
    return answers


def _refused(*args: object, **kwargs: object) -> None:
    raise ConnectionRefusedError


def test_04_an_unknown_handle_says_nothing(client: Client) -> None:
    """A handle that never was, one that is over, a forged cookie: start again."""
    over = ask(Client(), BOB)
    CaptchaModel.objects.update(redeemed_at=clock.now())
    answers = []
    for handle in ("A" * 24, over.handle):
        response = HttpResponse()
        visitor.SIGN_UPS.write(response, [visitor.Held(handle)])
        client.cookies["doorcode_signup"] = response.cookies["doorcode_signup"].value
        answers.append(_tries(client, over))
    client.cookies["doorcode_signup"] = "forged:cookie"
    answers.append(_tries(client, over))
    assert answers[0] == answers[1] == answers[2]


def _tries(client: Client, sign_up: CaptchaModel) -> list[tuple]:
    posts = [client.post("/signup/resend/", {"email": BOB}), verify(client, sign_up)]
    assert all("Your sign-up timed out. Start again" in text_of(post) for post in posts)
    return [seen(post, BOB) for post in posts]


def test_05_the_limits_trip_alike(people, limited) -> None:
    """The network's limit at the same request, the address's tier at the same guess."""
    at = {}
    for number, address in enumerate(people.values()):
        statuses = [_ask(Client(), address, f"10.0.0.{number}").status_code for _ in range(61)]
        said = []
        for _ in range(3):
            client = Client()
            _ask(client, address, f"10.0.1.{number}")
            sign_up = accept()
            for _ in range(5):
                answer = verify(client, sign_up, captcha=wrong(sign_up))
                said.append(re.findall(r'<p class="error"[^>]*>([^<]+)', answer.content.decode()))
                sign_up.refresh_from_db()
        at[address] = (statuses, said)
    first, second, third = at.values()
    assert first == second == third
    assert first[0].index(429) == 60
    assert "longer code" in str(first[1][9])


def _ask(client: Client, address: str, network: str) -> HttpResponse:
    return client.post("/signup/", {"email": address}, REMOTE_ADDR=network)


def test_06_a_taken_username_is_told_only_to_who_proved_the_mailbox(client: Client) -> None:
    """Not with a wrong code, not without one, not to a visitor without a request."""
    make_user("bob", BOB)
    taken = "That username is taken"
    assert taken not in text_of(client.post("/signup/verify/", {"username": "bob"}))
    sign_up = ask(client)
    assert taken not in text_of(verify(client, sign_up, username="bob", captcha=wrong(sign_up)))
    assert taken not in text_of(verify(client, sign_up, username="bob", captcha=""))
    assert taken in text_of(verify(client, sign_up, username="bob", captcha=right(sign_up)))


def test_74_a_neighbours_mail_says_nothing_of_an_account(monkeypatch, settings) -> None:
    """
    A stranger asks for a reset of their own and then for one of an address; both are sent in one claim, the later
    first. When their own comes tells nothing: a reset for nobody takes as long as another. 60 of each, interleaved.
    """
    settings.LIMIT_RESETS_SITE = []  # it would hold back the mails of a second round
    make_user("mallory", "mallory@example.com")
    make_user("owner", "owner@example.com")
    arrived: dict[str, float] = {}

    def send(backend: object, message: EmailMessage, *, probe: bool = False) -> Reply:
        time.sleep(random.uniform(0.004, 0.008))
        arrived[message.to[0]] = time.perf_counter()
        return Reply(Outcome.ACCEPTED, "250 OK")

    def wait(asked_for: str) -> float:
        for address in ("mallory@example.com", asked_for):
            account_services.request_password_reset(address=address, language="en", network=address)
        start = time.perf_counter()
        assert sending.deliver() == 2
        return arrived["mallory@example.com"] - start

    def p_of_a_round() -> float:
        known, unknown = [], []
        for _ in range(60):
            known.append(wait("owner@example.com"))
            unknown.append(wait("nobody@example.com"))
        return p_value(known, unknown)

    monkeypatch.setattr(smtp.EmailBackend, "submit", send)
    for _ in range(20):
        wait("owner@example.com")
    assert any(p_of_a_round() > 0.01 for _ in range(3))


class _InUse:
    """The lock of the records, while another thread writes them: free for those who wait."""

    def acquire(self, *, blocking: bool) -> bool:
        return blocking

    def release(self) -> None:
        pass


def test_74_each_reset_is_on_record_before_the_next_is_sent(monkeypatch) -> None:
    """Or a mail of somebody else's would be recorded later by as long as it took."""
    monkeypatch.setattr(sending, "_recording", _InUse())
    make_user("mallory", "mallory@example.com")
    recorded = []

    def send(backend: object, message: EmailMessage, *, probe: bool = False) -> Reply:
        recorded.append(Delivery.objects.filter(state=Delivery.State.SENT).count())
        return Reply(Outcome.ACCEPTED, "250 OK")

    monkeypatch.setattr(smtp.EmailBackend, "submit", send)
    for _ in range(3):
        account_services.request_password_reset(address="mallory@example.com", language="en", network="")
    sending.deliver()
    assert recorded == [0, 1, 2]


def test_74_mails_about_accounts_are_claimed_apart() -> None:
    """No sign-up's mail is sent behind a reset's in one claim: its page tells when it was."""
    make_user("mallory", "mallory@example.com")
    ask_code(address="anna@example.com")
    account_services.request_password_reset(address="mallory@example.com", language="en", network="")
    ask_code(address="anne@example.com")
    kinds = [{each.kind for each in outbox.claim(limit=50)} for _ in range(2)]
    assert kinds == [{"password_reset"}, {"code"}]


@pytest.fixture
def mail_server(settings) -> Iterator[Sink]:
    server = Sink()
    settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", server.url)]
    yield server
    server.close()


@pytest.mark.parametrize("asked_for", ["owner@example.com", "nobody@example.com"])
def test_74_a_reset_brings_no_deferred_mail_forward(client: Client, mail_server: Sink, asked_for: str) -> None:
    """A stranger whose own mail server defers at will would see on their page that a reset was sent."""
    make_user("owner", "owner@example.com")
    ask(client, "mallory@example.com")
    later = clock.now() + timedelta(minutes=8)
    Delivery.objects.update(attempts=5, first_tried_at=clock.now(), next_attempt_at=later)
    account_services.request_password_reset(address=asked_for, language="en", network="")
    assert [sending.deliver() for _ in range(3)] == [1, 0, 0]
    assert client.get("/signup/status/").json()["state"] == "delayed"


@pytest.mark.parametrize("asked_for", ["owner@example.com", "nobody@example.com"])
def test_74_after_a_reset_the_next_mail_finds_an_open_connection(mail_server: Sink, asked_for: str) -> None:
    """Or a stranger could tell by their own mail, which would wait for a connection after a reset for nobody."""
    make_user("owner", "owner@example.com")
    account_services.request_password_reset(address=asked_for, language="en", network="")
    sending.deliver()
    ask_code(address="mallory@example.com")
    sending.deliver()
    assert mail_server.connections == 1


def test_75_times_are_told_in_whole_seconds(client: Client) -> None:
    """By the page's status and the API, in one form; finer, they would tell what else was sent at that time."""
    ask(client, "mallory@example.com")
    Delivery.objects.update(state=Delivery.State.SENT, sent_at=clock.now().replace(microsecond=123_456))
    times = [client.get("/signup/status/").json()["sent_at"]]
    make_user("mallory", "mallory@example.com")
    login = {"username": "mallory", "password": PASSWORD}
    times.append(client.post("/api/login/", login, content_type="application/json").json()["expires_at"])
    assert [datetime.strptime(time, "%Y-%m-%dT%H:%M:%S%z").microsecond for time in times] == [0, 0]
    assert all(time.endswith("Z") for time in times)
