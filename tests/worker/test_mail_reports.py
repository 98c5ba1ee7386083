"""Returned mails and complaints, as mail servers send them, and the command that records them."""

import base64
import io
import json
import os
import quopri
import re
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import ALICE, BOB, make_captcha, make_delivery
from tests.servers import ENVIRONMENT, ROOT, free_port
from worker import mail_reports
from worker.models import Delivery, Suppression

DATA = Path(__file__).parent / "data"
STRANGE = "<0123456789abcdef0123456789abcdef@doorcode.test>"  # of no mail of ours
BOUNCES = {
    "postfix": ("550 5.1.1 <alice@example.com>: Recipient address rejected: User unknown", "mailbox", True),
    "postfix_no_domain": ("Host or domain name not found.", "mailbox", True),
    "exim": ("452 4.2.2 The email account that you tried to reach is over quota", "mailbox", False),
    "exim_no_domain": ("Unrouteable address", "mailbox", True),
    "opensmtpd": ("550 5.1.1 <alice@example.com>: Recipient address rejected: User unknown", "mailbox", True),
    "sendmail": ("550 Requested action not taken: mailbox unavailable", "mailbox", True),
    "exchange": ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient alice@example.com not found", "mailbox", True),
    "gmail": ("550-5.1.1 The email account that you tried to reach does not exist.", "mailbox", True),
}
COMPLAINTS = {"yahoo": "abuse, Yahoo!-Mail-Feedback/2.0", "comcast": "abuse, ReturnPathFBL/1.0"}


def sample(name: str, message_id: str = STRANGE) -> bytes:
    """The report of a mail, as this server sends it."""
    return (DATA / f"{name}.eml").read_bytes().replace(b"MESSAGE-ID", message_id.encode())


def changed(name: str, old: str, new: str) -> bytes:
    before = sample(name)
    assert old.encode() in before
    return before.replace(old.encode(), new.encode())


def sent() -> Delivery:
    """A mail that the mail server accepted."""
    delivery = make_delivery(make_captcha())
    Delivery.objects.filter(pk=delivery.pk).update(state="sent")
    return delivery


@pytest.fixture
def receive(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[bytes], list[str]]:
    """Hand a mail to the command; the outcomes of what it reports."""

    def receive(message: bytes) -> list[str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(message)))
        call_command("bounce", "--json")
        return [each["outcome"] for each in json.loads(capsys.readouterr().out)["reports"]]

    return receive


@pytest.mark.parametrize("name", BOUNCES)
def test_a_returned_mail_is_read(name: str) -> None:
    """What the recipient's server said, whose fault it is, and whether another mail would bounce too."""
    text, cause, is_permanent = BOUNCES[name]
    (report,) = mail_reports.read(sample(name))
    assert (report.state, report.message_id) == ("bounced", STRANGE)
    assert " ".join(report.text.split()).startswith(text)
    assert (report.cause, report.is_permanent) == (cause, is_permanent)


@pytest.mark.parametrize("name", COMPLAINTS)
def test_a_complaint_is_read(name: str) -> None:
    """Also where the receiver encoded or redacted parts of it."""
    (report,) = mail_reports.read(sample(name))
    assert (report.state, report.message_id, report.text) == ("complained", STRANGE, COMPLAINTS[name])


@pytest.mark.parametrize("name", [*BOUNCES, *COMPLAINTS, "sieve"])
def test_line_ends_are_those_of_the_mail_server(name: str) -> None:
    """CR LF as on the wire, or LF as in a pipe."""
    assert mail_reports.read(sample(name).replace(b"\n", b"\r\n")) == mail_reports.read(sample(name)) != []


def test_a_mail_may_begin_with_the_line_of_a_mailbox_file() -> None:
    """As Sendmail, and Exim unless `message_prefix` is empty, hand it to a program."""
    first = b"From MAILER-DAEMON Thu Nov 26 10:16:59 2026\n"
    assert mail_reports.read(first + sample("sendmail")) == mail_reports.read(sample("sendmail")) != []


@pytest.mark.django_db
def test_a_mail_that_a_readers_filter_rejects_is_a_bounce(receive) -> None:
    """By a notice of its own kind, as Dovecot sends for `reject` of Sieve. It is not the mailbox's fault."""
    delivery = sent()
    assert receive(sample("sieve", delivery.message_id)) == ["recorded"]
    delivery.refresh_from_db()
    assert delivery.last_reply == "was automatically rejected: No automated mail please"
    assert (delivery.state, delivery.cause, delivery.visible_reason) == ("bounced", "", "unclear")
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    "disposition",
    [
        "manual-action/MDN-sent-manually; displayed",
        "manual-action/MDN-sent-automatically; deleted",
        "automatic-action/MDN-sent-automatically; processed",
        "",
    ],
)
def test_a_receipt_is_no_bounce(disposition: str) -> None:
    """The mail arrived, whether or not its reader opened it. Only a filter's rejection says otherwise."""
    rejected = "Disposition: automatic-action/MDN-sent-automatically; deleted"
    assert mail_reports.read(changed("sieve", rejected, f"Disposition: {disposition}")) == []


@pytest.mark.parametrize("name", [*BOUNCES, *COMPLAINTS, "sieve"])
def test_a_gateway_may_wrap_a_report(name: str) -> None:
    """With a warning above it and a footer below it, of which none is the reason."""
    head, _, body = sample(name).partition(b"\n\n")
    lines = re.split(rb"\n(?![ \t])", head)
    kind = next(line for line in lines if line.lower().startswith(b"content-type:"))
    others = b"\n".join(line for line in lines if line != kind)
    note = b"--gateway\nContent-Type: text/plain\n\n[EXTERNAL] alice@example.com is outside\n\n"
    wrapped = others + b"\nContent-Type: multipart/mixed; boundary=gateway\n\n"
    wrapped += note + b"--gateway\n" + kind + b"\n\n" + body + b"\n" + note + b"--gateway--\n"
    assert mail_reports.read(wrapped) == mail_reports.read(sample(name)) != []


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", "", "unheard-of"])
def test_only_a_failure_is_a_bounce(action: str) -> None:
    """A notice that a mail is late, or has arrived, is no news."""
    assert mail_reports.read(changed("postfix", "Action: failed", f"Action: {action}")) == []
    assert mail_reports.read(sample("postfix_delayed")) == []


def test_a_mail_given_up_after_deferrals_is_no_reason_to_stop() -> None:
    """It bounced; another one may arrive."""
    given_up = changed("postfix", "Status: 5.1.1", "Status: 4.2.2")
    (report,) = mail_reports.read(given_up.replace(b"smtp; 550 5.1.1", b"smtp; 452 4.2.2"))
    assert (report.state, report.is_permanent, report.suppression_reason) == ("bounced", False, None)


def test_without_words_the_status_is_all_there_is() -> None:
    """The text, and the cause."""
    start = sample("postfix").index(b"Diagnostic-Code")
    end = sample("postfix").index(b"\n\n", start)
    (report,) = mail_reports.read(sample("postfix")[:start] + b"X: y" + sample("postfix")[end:])
    assert (report.text, report.cause, report.is_permanent) == ("5.1.1", "mailbox", True)


@pytest.mark.parametrize("address", ["", "bob@example.com", "\N{LATIN SMALL LETTER E WITH ACUTE}@example.com"])
def test_words_about_another_recipient_count_for_nothing(address: str) -> None:
    """Nor do those about none."""
    (report,) = mail_reports.read(changed("opensmtpd", "rfc822; alice@example.com", f"rfc822; {address}"))
    assert (report.text, report.cause, report.is_permanent) == ("5.0.0", "unclear", True)


def test_each_recipient_that_failed_is_a_report() -> None:
    """Their mail is the same."""
    more = (
        "Action: failed\nStatus: 5.2.2\n\nAction: delivered\nStatus: 2.0.0\n\nFinal-Recipient: rfc822;b@example.com\n"
    )
    found = mail_reports.read(changed("exim", "\n\nAction: failed", f"\n\n{more}Action: failed"))
    assert [report.text[:5] for report in found] == ["5.2.2", "452 4"]


@pytest.mark.parametrize("kind", ["fraud", "Virus", "other"])
def test_some_feedback_is_a_complaint(kind: str) -> None:
    """The types of RFC 5965 that say that the mail was not wanted."""
    (report,) = mail_reports.read(changed("yahoo", "Feedback-Type: abuse", f"Feedback-Type: {kind}"))
    assert report.state == "complained"


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "dmarc", "opt-out", ""])
def test_other_feedback_is_none(kind: str) -> None:
    """It praises the mail, or is about our DNS."""
    assert mail_reports.read(changed("yahoo", "Feedback-Type: abuse", f"Feedback-Type: {kind}")) == []


HEADERS = f"Subject: 4711\nMessage-ID: {STRANGE}\nTo: alice@example.com\n".encode()
LONG = f"Message-ID: {STRANGE[:-1]}.with.a.domain.that.is.too.long.for.a.line>\nTo: alice@example.com\n".encode()


@pytest.mark.parametrize("part", ["text/rfc822-headers", "message/rfc822", "message/global", "message/global-headers"])
@pytest.mark.parametrize(
    ("encoding", "body", "found"),
    [
        ("7bit", HEADERS, STRANGE),
        ("7bit", HEADERS.replace(b": <", b":\n <"), STRANGE),
        ("base64", base64.encodebytes(HEADERS), STRANGE),
        ("quoted-printable", quopri.encodestring(HEADERS), STRANGE),
        ("quoted-printable", quopri.encodestring(LONG), f"{STRANGE[:-1]}.with.a.domain.that.is.too.long.for.a.line>"),
    ],
    ids=["plain", "folded", "base64", "quoted-printable", "quoted-printable, two lines"],
)
def test_the_returned_headers_name_the_mail(part: str, encoding: str, body: bytes, found: str) -> None:
    """However they are packed."""
    before, _, after = sample("postfix_no_domain").partition(b"Content-Type: text/rfc822-headers\n\n")
    _, _, after = after.partition(b"\n\n")
    head = f"Content-Type: {part}\nContent-Transfer-Encoding: {encoding}\n\n".encode()
    (report,) = mail_reports.read(before + head + body + b"\n" + after)
    assert report.message_id == found


def test_the_status_may_be_encoded_or_that_of_rfc_6533() -> None:
    """A report about an address beyond ASCII; a gateway that encodes every part."""
    (plain,) = mail_reports.read(sample("postfix"))
    assert mail_reports.read(changed("postfix", "message/delivery-status", "message/global-delivery-status")) == [plain]
    head, _, rest = sample("postfix").partition(b"Content-Type: message/delivery-status\n\n")
    body, boundary, rest = rest.partition(b"\n--4SgHkQ2Zzmz9sWK")
    for name, encode in {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.items():
        part = f"Content-Type: message/delivery-status\nContent-Transfer-Encoding: {name}\n\n".encode() + encode(body)
        assert mail_reports.read(head + part + boundary + rest) == [plain]


@pytest.mark.parametrize("broken", ["", "MESSAGE-ID", "<a b@c>", "<>", "<\x00@doorcode.test>", "<ä@doorcode.test>"])
def test_no_other_id_is_guessed(broken: str) -> None:
    """In-Reply-To, References and the report's own id are anybody's; an id that can't be ours is not looked for."""
    message = (
        (DATA / "exchange.eml").read_bytes().replace(b"\nMessage-ID: MESSAGE-ID", b"\nMessage-ID: " + broken.encode())
    )
    found = mail_reports.read(message.replace(b"MESSAGE-ID", STRANGE.encode()))
    assert (found == []) is (broken != "MESSAGE-ID")


@pytest.mark.django_db
@pytest.mark.parametrize("name", BOUNCES)
def test_a_bounce_is_recorded_with_its_mail(receive, name: str) -> None:
    """Its state, text and cause; its address is suppressed, unless the bounce passes by itself."""
    text, cause, is_permanent = BOUNCES[name]
    delivery = sent()
    assert receive(sample(name, delivery.message_id)) == ["recorded"]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.cause, delivery.visible_reason) == ("bounced", cause, "mailbox")
    assert delivery.last_reply.startswith(text)
    assert list(Suppression.objects.values_list("address", "reason")) == [(ALICE, "bounced")] * is_permanent


@pytest.mark.django_db
@pytest.mark.parametrize("name", COMPLAINTS)
def test_a_complaint_is_recorded_with_its_mail(receive, name: str) -> None:
    """Whoever asked for it sees it as sent; its address is suppressed."""
    delivery = sent()
    assert receive(sample(name, delivery.message_id)) == ["recorded"]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.visible_state) == ("complained", "sent")
    assert list(Suppression.objects.values_list("address", "reason")) == [(ALICE, "complained")]


@pytest.mark.django_db
@pytest.mark.parametrize("order", list(permutations(["postfix", "postfix_delayed", "yahoo"])), ids="-".join)
def test_reports_come_in_any_order_and_twice(receive, order: tuple[str, ...]) -> None:
    """The complaint outweighs the bounce, and the address is suppressed once."""
    delivery = sent()
    for name in order * 2:
        receive(sample(name, delivery.message_id))
    delivery.refresh_from_db()
    assert delivery.state == "complained"
    assert Suppression.objects.get().times == 1


@pytest.mark.django_db
def test_a_forged_report_changes_nothing(receive) -> None:
    """Whoever never had the mail can't know its Message-ID; the addresses that a report names count for nothing."""
    delivery = sent()
    assert receive(sample("postfix")) == ["unknown"]
    assert receive(sample("yahoo")) == ["unknown"]
    assert receive(changed("postfix", STRANGE, delivery.message_id.upper())) == ["unknown"]
    assert Delivery.objects.get().state == "sent"
    assert not Suppression.objects.exists()


@pytest.mark.django_db
def test_only_the_address_of_the_mail_is_suppressed(receive) -> None:
    """A report that names another one as its recipient still is about ours."""
    delivery = sent()
    receive(sample("postfix", delivery.message_id).replace(b"alice@example.com", BOB.encode()))
    assert Suppression.objects.get().address == ALICE


@pytest.mark.django_db
def test_the_text_is_one_line_without_invisible_characters(receive) -> None:
    """PostgreSQL takes no NUL, and the admin shows no line that runs backwards."""
    delivery = sent()
    words = "550 5.1.1 =?utf-8?q?no=00such=E2=80=AEuser?= \xff\x07"
    message = sample("exchange", delivery.message_id).replace(b"550 5.1.10", words.encode("latin-1"))
    assert receive(message) == ["recorded"]
    delivery.refresh_from_db()
    assert delivery.last_reply.startswith("550 5.1.1 no such user \N{REPLACEMENT CHARACTER} RESOLVER")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x00",
        b"From: bob@example.com\nTo: noreply@doorcode.test\nSubject: Hello\n\nDid it bounce?\n",
        b"Content-Type: multipart/report; report-type=delivery-status\n\nno boundary\n",
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n--x--\n",
        b"Content-Type: message/delivery-status\n\nA: b\n\nAction: failed\n",
        b"\xff\xfe" * 1000,
    ],
    ids=["nothing", "NUL", "a mail", "no boundary", "no parts", "no report", "no ASCII"],
)
def test_other_mail_is_no_report(message: bytes) -> None:
    """An answer to our sender's address, say."""
    assert mail_reports.read(message) == []


def test_a_report_without_the_returned_mail_is_about_none() -> None:
    """There is no other way to find it."""
    assert mail_reports.read(changed("postfix", "Content-Type: message/rfc822", "Content-Type: text/plain")) == []


@settings(max_examples=300)
@given(
    name=st.sampled_from([*BOUNCES, *COMPLAINTS, "postfix_delayed"]),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 300), st.binary(max_size=40)), max_size=5),
    encoding=st.sampled_from([b"", b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: x-uuencode\n"]),
)
def test_a_broken_report_raises_nothing(name: str, edits: list[tuple[int, int, bytes]], encoding: bytes) -> None:
    """Cut, overwritten, encoded in a way that it is not."""
    message = sample(name).replace(b"Content-Type: message/", encoding + b"Content-Type: message/")
    for start, length, text in edits:
        message = message[:start] + text + message[start + length :]
    for report in mail_reports.read(message):
        assert report.message_id


@given(st.binary())
def test_no_bytes_raise_anything(message: bytes) -> None:
    """Alone, or as each part of a report."""
    assert mail_reports.read(message) == []
    for kind in (b"message/delivery-status", b"message/rfc822", b"message/feedback-report"):
        mail_reports.read(
            b"Content-Type: multipart/report; boundary=x\n\n--x\nContent-Type: " + kind + b"\n\n" + message
        )


NESTED = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(40_000))
REPORT = b"Content-Type: multipart/report; boundary=x\n\n"


@pytest.mark.parametrize(
    "message",
    [
        NESTED,
        b"Content-Type: message/rfc822\n\n" * 40_000,
        REPORT + b"--x\n\n" * 200_000,
        REPORT + b"--x\nContent-Type: message/delivery-status\n\n" + b"A: b\n\n" * 170_000,
        NESTED[: NESTED.index(b"--b18")] + b"\n" * 1_000_000,
        REPORT + b"".join(b"--x\nContent-Type: %s\n\n" % (b'"' * 50_000) for _ in range(18)),
        b"Content-Type: a/b" + b";a=b" * 250_000,
        b"Content-Type: a/b" + b";\n a*1*=utf-8''%20" * 50_000,
        b"".join(b"X%d: y\n" % n for n in range(90_000)),
    ],
    ids=["multiparts", "messages", "parts", "blocks", "lines", "quotes", "parameters", "continuations", "headers"],
)
def test_a_hostile_mail_costs_little(message: bytes) -> None:
    """The parser itself would take minutes, gigabytes, or its whole stack for some of these."""
    begun = time.process_time()
    assert mail_reports.read(message[: mail_reports.LARGEST]) == []
    assert time.process_time() - begun < 10  # a second or so, on a machine that has nothing else to do


def test_a_mail_that_is_too_large_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length comes first."""
    monkeypatch.setattr(mail_reports, "_reports", None)
    assert mail_reports.read(sample("postfix").ljust(mail_reports.LARGEST + 1)) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("message", "line"),
    [
        (b"Subject: Hello\n\nbounce\n", "No report of a returned mail, nor a complaint"),
        (sample("postfix"), "bounced: about no mail of this site"),
        (sample("yahoo"), "reported as spam: about no mail of this site"),
        (sample("postfix").ljust(3 * mail_reports.LARGEST), "No report of a returned mail, nor a complaint"),
    ],
    ids=["a mail", "a bounce", "a complaint", "a large mail"],
)
def test_the_command_says_what_it_did_and_takes_all_of_the_mail(monkeypatch, capsys, message: bytes, line: str) -> None:
    """A mail server sees neither a failure nor a broken pipe, whatever the mail."""
    monkeypatch.setattr("sys.stdin", stdin := io.TextIOWrapper(io.BytesIO(message)))
    call_command("bounce")
    assert capsys.readouterr().out.strip() == line
    assert stdin.buffer.read() == b""


@pytest.mark.django_db
def test_each_line_is_about_one_report(monkeypatch, capsys) -> None:
    """In the operator's language."""
    delivery = sent()
    for outcome in ("已记录", "此前已记录"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sample("gmail", delivery.message_id))))
        call_command("bounce", "--lang", "zh-hans")
        assert capsys.readouterr().out.endswith(f": {outcome}\n")


def test_without_the_database_the_mail_server_tries_again(monkeypatch) -> None:
    """EX_TEMPFAIL; the words of the error, which may name addresses, are left out."""

    def broken(report: object) -> None:
        raise OperationalError("alice@example.com")

    monkeypatch.setattr("worker.bounces.record", broken)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sample("postfix"))))
    with pytest.raises(CommandError) as raised:
        call_command("bounce")
    assert raised.value.returncode == os.EX_TEMPFAIL
    assert "alice" not in str(raised.value)


def test_a_real_database_that_is_away_is_told_to_the_mail_server() -> None:
    """By the exit code of the process; a mail that is no report needs no database."""
    environment = {
        **ENVIRONMENT,
        "DEBUG": "true",
        "DATABASE_URL": f"postgres://doorcode@127.0.0.1:{free_port()}/doorcode",
    }
    for message, code in ((sample("postfix"), os.EX_TEMPFAIL), (b"Subject: Hello\n\n", 0)):
        done = subprocess.run(
            [sys.executable, "manage.py", "bounce"], cwd=ROOT, env=environment, input=message, capture_output=True
        )
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
