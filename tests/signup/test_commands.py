"""Commands: help for one person, figures, and previews of mails."""

import json
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from io import StringIO
from unittest.mock import Mock

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client

from core import clock, ratelimit
from core.observability.redaction import pseudonym_of_address
from signup import limits, usernames
from signup.models import User
from tests.factories import ALICE, BOB, PASSWORD, FrozenClock, make_captcha, make_delivery, make_muted, make_user, right
from tests.steps import ask, verify
from verification.models import AddressGuesses, CaptchaModel, SiteGuesses
from worker import suppression
from worker.models import Delivery, Heartbeat, Suppression

pytestmark = pytest.mark.django_db

NEW = "another horse b"


def printed(capsys) -> dict:
    """What `--json` printed: in ASCII, which is right in every encoding of a shell."""
    printed = capsys.readouterr().out
    assert printed.isascii()
    return json.loads(printed)


def test_resend_mails_the_same_code_again(client: Client, frozen_clock: FrozenClock, capsys) -> None:
    """As the page's button does, after the cooldown; and prints the hash of the address in the logs."""
    sign_up = ask(client)
    Delivery.objects.update(state="sent")
    code = right(sign_up)
    frozen_clock.move(seconds=61)
    call_command("resend", "Alice@Example.com", "--json")
    newest = Delivery.objects.latest("pk")
    assert printed(capsys) == {
        "address": ALICE,
        "in_logs": pseudonym_of_address(ALICE),
        "delivery": newest.pk,
        "dry_run": False,
    }
    assert Delivery.objects.count() == 2
    assert right(CaptchaModel.objects.get()) == code


def test_resend_puts_a_failed_mail_back_into_the_outbox(client: Client, frozen_clock: FrozenClock) -> None:
    """The same row: no second mail."""
    ask(client)
    Delivery.objects.update(state="failed")
    call_command("resend", ALICE)
    assert Delivery.objects.get().state == "pending"


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_resend_says_that_a_mail_still_waits(
    client: Client, frozen_clock: FrozenClock, capsys, options: list[str]
) -> None:
    """The mail server deferred it, or a mail limit holds it: that is for as long as before."""
    ask(client)
    frozen_clock.move(seconds=61)
    Delivery.objects.update(attempts=3, next_attempt_at=frozen_clock.now() + timedelta(minutes=8))
    call_command("resend", ALICE, *options)
    assert "The email is still waiting. It is tried again in 8 minutes" in capsys.readouterr().out


def test_resend_says_why_not(client: Client, frozen_clock: FrozenClock) -> None:
    """No sign-up, too soon, finished, no address."""
    with pytest.raises(CommandError, match="No sign-up"):
        call_command("resend", BOB)
    sign_up = ask(client)
    Delivery.objects.update(state="sent")
    with pytest.raises(CommandError, match="60 s"):
        call_command("resend", ALICE)
    verify(client, sign_up)
    frozen_clock.move(minutes=5)
    with pytest.raises(CommandError, match="No sign-up"):
        call_command("resend", ALICE)
    with pytest.raises(CommandError, match="correct format"):
        call_command("resend", "alice")


@pytest.mark.parametrize("state", ["sent", "failed"])
def test_resend_says_that_the_address_is_suppressed(frozen_clock: FrozenClock, state: str) -> None:
    """Its mail would be dropped; --unmute lifts that."""
    make_delivery(make_captcha())
    Delivery.objects.update(state=state)
    suppression.suppress(address=ALICE, reason=Suppression.Reason.BOUNCED)
    frozen_clock.move(minutes=5)
    for flags in ([], ["--dry-run"]):
        with pytest.raises(CommandError, match=r"is suppressed .* unlock --unmute"):
            call_command("resend", ALICE, *flags)
    assert Delivery.objects.get().state == state
    call_command("unlock", ALICE, "--unmute")
    call_command("resend", ALICE)


def test_resend_is_about_the_newest_request_alone(frozen_clock: FrozenClock) -> None:
    """An older one that still waits for its code is not taken instead."""
    make_captcha()
    CaptchaModel.objects.filter(pk=make_captcha().pk).update(redeemed_at=clock.now())
    frozen_clock.move(minutes=5)
    with pytest.raises(CommandError, match="No sign-up"):
        call_command("resend", ALICE)


def test_resend_changes_nothing_with_dry_run(client: Client, frozen_clock: FrozenClock) -> None:
    """It only says whether there is a sign-up."""
    ask(client)
    Delivery.objects.update(state="sent")
    frozen_clock.move(minutes=5)
    call_command("resend", ALICE, "--dry-run")
    assert Delivery.objects.count() == 1


def test_unlock_forgets_wrong_codes(capsys) -> None:
    """Those of this address alone."""
    for address in (ALICE, BOB):
        AddressGuesses.objects.create(address=address, guesses=[clock.now().timestamp()] * 3)
    call_command("unlock", ALICE, "--dry-run", "--json")
    assert printed(capsys)["guesses"] == 3
    call_command("unlock", ALICE, "--dry-run")
    assert "passwords" not in capsys.readouterr().out  # it does not ask Redis
    assert AddressGuesses.objects.count() == 2
    call_command("unlock", ALICE)
    assert "3 wrong codes are forgotten" in capsys.readouterr().out
    assert AddressGuesses.objects.get().address == BOB


@pytest.mark.parametrize("name", [usernames.key("alice"), ALICE])
def test_unlock_forgets_wrong_passwords(settings, still: None, name: str) -> None:
    """By either name of the account."""
    make_user("Alice")
    settings.LIMIT_LOGIN_ACCOUNT = [(1, 3_600)]
    ratelimit.hit(limits.LOGIN_ACCOUNT, key=name)
    with pytest.raises(ratelimit.RateLimited):
        ratelimit.hit(limits.LOGIN_ACCOUNT, key=name)
    call_command("unlock", ALICE)
    ratelimit.hit(limits.LOGIN_ACCOUNT, key=name)


def test_unlock_fails_while_redis_is_down(settings, capsys) -> None:
    """What is in the database is forgotten nonetheless."""
    AddressGuesses.objects.create(address=ALICE, guesses=[clock.now().timestamp()])
    settings.REDIS_URL, settings.LIMIT_LOGIN_ACCOUNT = "redis://127.0.0.1:1", [(1, 3_600)]
    with pytest.raises(SystemExit) as ended:
        call_command("unlock", ALICE)
    assert (ended.value.code, AddressGuesses.objects.exists()) == (1, False)
    assert "Redis is down: wrong passwords are not forgotten" in capsys.readouterr().out


def test_unlock_keeps_a_suppression_without_unmute() -> None:
    """The owner of the mailbox asked for it."""
    make_muted()
    call_command("unlock", ALICE)
    assert Suppression.objects.exists()
    call_command("unlock", ALICE, "--unmute", "--dry-run")
    assert Suppression.objects.exists()
    call_command("unlock", ALICE, "--unmute")
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("reason", Suppression.Reason)
def test_unmute_lifts_a_suppression_of_any_reason(capsys, reason: Suppression.Reason) -> None:
    """And says so."""
    Suppression.objects.create(address=ALICE, reason=reason, until=clock.now() + timedelta(days=7))
    call_command("unlock", ALICE, "--unmute")
    assert "Sign-up mail is sent again" in capsys.readouterr().out
    assert not Suppression.objects.exists()


def test_stats_count_sign_ups_and_mails(client: Client, capsys) -> None:
    """Those of the last hours, as text and as JSON."""
    verify(client, ask(client))
    make_captcha(BOB, accepted=False), make_captcha(BOB, decoy=True)
    make_delivery()
    call_command("stats", "--json")
    found = printed(capsys)
    assert list(found) == ["hours", "sign_ups", "mails", "seconds_to_acceptance", "waiting", "languages"]
    assert found["sign_ups"] == {"asked": 2, "mailed": 1, "proven": 1, "registered": 1}
    assert found["mails"] == {"pending": 2}
    assert found["waiting"]["due"] == 2
    assert found["languages"] == {"en": 1}
    call_command("stats")
    assert "asked for a code: 2" in capsys.readouterr().out


@pytest.mark.parametrize("hours", ["0", "-1", "876601", "999999999999999999999"])
def test_stats_refuse_hours_that_are_no_time_to_look_back(hours: str) -> None:
    """They would count nothing, or have no date."""
    with pytest.raises(CommandError, match="give a number from 1 to 876600"):
        call_command("stats", f"--hours={hours}")
    call_command("stats", "--hours=876600")


def test_stats_run_on_an_empty_database() -> None:
    """On a fresh site."""
    call_command("stats")


@pytest.mark.parametrize("language", ["en", "zh-hans", "zh-hant"])
@pytest.mark.parametrize("kind", Delivery.Kind.values)
def test_a_preview_is_the_mail_and_runs_no_query(kind: str, language: str, django_assert_num_queries, capsys) -> None:
    """Every kind in every language, without a query."""
    with django_assert_num_queries(0):
        call_command("preview_mail", kind, "--lang", language, "--json")
    found = printed(capsys)
    assert found["language"] == language
    assert found["subject"]
    assert found["text"]
    assert "<html" in found["html"]


def test_a_preview_can_be_raw_or_a_file(tmp_path, capsys) -> None:
    """The whole message; the HTML for a browser."""
    call_command("preview_mail", "code", "--part", "raw")
    message = message_from_bytes(capsys.readouterr().out.encode(), _class=EmailMessage, policy=default)
    assert message["To"] == "name@example.com"
    target = tmp_path / "mail.html"
    call_command("preview_mail", "code", "--part", "html", "--output", str(target))
    assert "<html" in target.read_text()
    with pytest.raises(CommandError, match="No such file or directory"):
        call_command("preview_mail", "code", "--output", str(tmp_path / "nothing" / "mail.txt"))


def test_purge_and_requeue_print_json(capsys) -> None:
    """With --json."""
    call_command("purge", "--json", "--dry-run")
    assert printed(capsys)["rows"]["codes"] == 0
    delivery = make_delivery(make_captcha())
    Delivery.objects.update(state="failed")
    call_command("requeue", str(delivery.pk), "--json")
    assert printed(capsys) == {"found": 1, "sent_again": 1, "dry_run": False}


def test_purge_asks_at_a_terminal_if_there_is_something_to_delete(monkeypatch) -> None:
    """And deletes nothing without a yes."""
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}", Mock(wraps=StringIO(), isatty=lambda: True))
    call_command("purge")
    SiteGuesses.objects.create(hour=clock.now() - timedelta(days=3))
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("purge")
    assert SiteGuesses.objects.exists()


def test_requeue_counts_in_words_and_says_why_mails_are_left_out(capsys) -> None:
    """The noun follows the number of those found."""
    numbers = [str(make_delivery().pk), str(make_delivery(make_captcha()).pk)]
    Delivery.objects.update(state="failed")
    call_command("requeue", *numbers[:1])
    call_command("requeue", *numbers)
    why = "Left out: not failed, sent again since, about a sign-up that is over, or to a suppressed address\n"
    said = f"0 of 1 delivery is sent again\n{why}1 of 2 deliveries are sent again\n{why}"
    assert capsys.readouterr().out == said


def test_sweep_waits_while_the_database_is_down(monkeypatch, caplog) -> None:
    """It runs until Ctrl-C; once, it fails."""
    found = iter([OperationalError("gone"), OperationalError("gone"), None])

    def sweep() -> int:
        if error := next(found):
            raise error
        raise KeyboardInterrupt

    monkeypatch.setattr("worker.sweeper.sweep", sweep)
    monkeypatch.setattr("worker.sweeper.INTERVAL", 0)
    with pytest.raises(CommandError, match="can't be used: gone"):
        call_command("sweep", "--once")
    call_command("sweep")
    assert caplog.messages == ["the sweep failed: OperationalError"]


def test_sweep_prints_json(notified, capsys) -> None:
    """With --json."""
    make_delivery()
    call_command("sweep", "--once", "--json")
    assert printed(capsys) == {"waiting": 1}


def test_one_sweep_is_not_taken_for_a_live_sweeper(notified) -> None:
    """Nobody sweeps after it."""
    call_command("sweep", "--once")
    assert not Heartbeat.objects.exists()


@pytest.fixture
def typed(monkeypatch) -> list[str]:
    """The answers at the prompts, in this order."""
    words: list[str] = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: words.pop(0))
    return words


@pytest.mark.parametrize("name", ["ALICE", "Alice@Example.com"])
@pytest.mark.parametrize("language", ["", "zh-hant"])
def test_changepassword_mails_the_owner(typed: list[str], capsys, name: str, language: str) -> None:
    """In the account's language, else that of the site."""
    make_user(language=language)
    typed[:] = [NEW, NEW]
    call_command("changepassword", name, "--json")
    assert printed(capsys) == {"address": ALICE, "in_logs": pseudonym_of_address(ALICE)}
    assert User.objects.get().check_password(NEW)
    told = Delivery.objects.get()
    assert (told.kind, told.recipient, told.language) == ("password_changed", ALICE, language or "en")


@pytest.mark.parametrize(
    ("words", "error"), [([NEW, PASSWORD], "match"), (["short", "short"], "at least 8"), (["", ""], "required")]
)
def test_changepassword_refuses_what_the_admin_refuses(typed: list[str], words: list[str], error: str) -> None:
    """Nothing is changed, and nothing sent."""
    make_user()
    typed[:] = words
    with pytest.raises(CommandError, match=error):
        call_command("changepassword", ALICE)
    assert User.objects.get().check_password(PASSWORD)
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("error", [EOFError(), UnicodeDecodeError("ascii", b"\xff", 0, 1, "no ASCII")])
def test_changepassword_without_an_answer_changes_nothing(monkeypatch, error: Exception) -> None:
    """In a script, without a terminal; or in a locale that has no such letters."""
    make_user()

    def getpass(prompt: str) -> str:
        raise error

    monkeypatch.setattr("getpass.getpass", getpass)
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("changepassword", ALICE)


def test_changepassword_is_for_accounts_alone(typed: list[str]) -> None:
    """Not for an unknown name, one that is no text, nor an address that nobody has proven."""
    User.objects.create(email=ALICE, is_active=False)
    User.objects.create(email=BOB, is_staff=True)  # registered, and not proven
    unknown = ("nobody", "a@", ALICE, "\udcff")
    for name, error in (*((each, "No account") for each in unknown), (BOB, "not verified")):
        typed[:] = [NEW, NEW]
        with pytest.raises(CommandError, match=error):
            call_command("changepassword", name)
    assert not Delivery.objects.exists()
