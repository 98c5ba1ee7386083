"""Messages as they go to SMTP: read back by Python's own parser, whatever the site and its sender are called."""

import re
from email import message_from_bytes
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from pathlib import Path

import pytest
from django.template import TemplateSyntaxError
from django.test import override_settings
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.core.test_settings import GOOD, load
from worker import messages
from worker.models import Delivery

LANGUAGES = ["en", "zh-hans", "zh-hant"]
SCHOOL = "华东师范大学附属第一实验中学校友会"
HEADERS = (
    "Auto-Submitted Content-Language Content-Type Date From MIME-Version Message-ID Subject To X-Auto-Response-Suppress"
)
NAMES = [
    "Doorcode",
    "Acme, Inc.",
    'The "Best" \\ (of) <all>; sites: @home.',
    SCHOOL,
    SCHOOL * 15,
    f"{SCHOOL}, (附属) @ <校友会>",
    "x" * 254,
    "Smith, Smith and Smith; " * 10,
    "نادي خريجي المدرسة الثانوية التجريبية الأولى",
    "👩‍👩‍👧‍👦" * 30,
    "Zoë",
]
# Any character but those that settings refuse: control characters and lone surrogates.
names = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=254)


def wire(delivery: Delivery) -> bytes:
    return messages.build(delivery).message().as_bytes().replace(b"\n", b"\r\n")


def read(content: bytes) -> EmailMessage:
    return message_from_bytes(content, _class=EmailMessage, policy=default)


def head_of(content: bytes) -> str:
    return content.partition(b"\r\n\r\n")[0].decode("ascii")


def raw(head: str, name: str) -> str:
    """A header as it stands, unfolded."""
    return re.search(rf"^{name}: (.*?)\r\n(?! )", f"{head}\r\n", re.MULTILINE | re.DOTALL)[1].replace("\r\n", "")


def is_fit_for_any_mail_server(content: bytes, *, headers: str = HEADERS) -> None:
    """RFC 5321, 5322 and 2047."""
    assert content.isascii()
    assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    head = head_of(content)
    assert max(map(len, head.split("\r\n"))) <= 76
    assert all(len(word) <= 75 for word in re.findall(r"=\?\S*\?=", head))
    names = [line.partition(":")[0] for line in head.split("\r\n") if line[0] not in " \t"]
    assert " ".join(sorted(names)) == headers
    assert not read(content).defects


def says(content: bytes, *, name: str, address: str, header: str = "From") -> None:
    """The header is one mailbox with this name; read by the words of RFC 2047."""
    shown, found = parseaddr(raw(head_of(content), header))
    assert str(make_header(decode_header(shown))) == " ".join(name.split())
    assert found == address


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", [*Delivery.Kind.values, messages.TEST])
def test_every_mail_is_fit_for_any_mail_server(kind: str, language: str) -> None:
    """Whatever its kind and language; text and HTML, both of them readable."""
    content = wire(messages.sample(kind=kind, language=language))
    is_fit_for_any_mail_server(content)
    message = read(content)
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert message["Content-Language"].lower() == language
    assert message["Date"].datetime


@pytest.mark.parametrize("kind", [*Delivery.Kind.values, messages.TEST])
def test_no_mail_is_answered_by_a_program(kind: str) -> None:
    """Nor by Exchange, which may still send a bounce (NDR): "All" would keep it from that."""
    message = read(wire(messages.sample(kind=kind, language="en")))
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "OOF, AutoReply"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_any_name_of_the_site_and_its_sender(settings, name: str, language: str) -> None:
    """It arrives as it was written."""
    settings.SITE_NAME, settings.DEFAULT_FROM_EMAIL = name, default_sender(name)
    content = wire(messages.sample(kind="password_changed", language=language))
    is_fit_for_any_mail_server(content)
    says(content, name=name, address="noreply@accounts.example.com")
    assert " ".join(name.split()) in read(content)["Subject"]
    assert " ".join(name.split()) in " ".join(read(content).get_body(("plain",)).get_content().split())


def default_sender(name: str) -> str:
    """DEFAULT_FROM_EMAIL as the settings make it of SITE_NAME."""
    return str(Address(display_name=" ".join(name.split()), username="noreply", domain="accounts.example.com"))


@given(name=names, language=st.sampled_from(["en", "zh-hans"]))
def test_any_name_arrives_as_it_was_written(name: str, language: str) -> None:
    """Of any script and length, in the subject as in the sender."""
    assume(name.strip() and "=?" not in name)
    with override_settings(SITE_NAME=name, DEFAULT_FROM_EMAIL=default_sender(name)):
        content = wire(messages.sample(kind="password_changed", language=language))
    is_fit_for_any_mail_server(content)
    says(content, name=name, address="noreply@accounts.example.com")
    subject = str(make_header(decode_header(raw(head_of(content), "Subject"))))
    assert " ".join(name.split()) in subject


@given(local=st.from_regex(r"[a-z0-9]{1,64}", fullmatch=True), labels=st.lists(st.just("a" * 60), max_size=2))
def test_long_addresses_are_never_broken(local: str, labels: list[str]) -> None:
    """A line may be longer than 78 characters where an address is; up to 254 of them."""
    address = f"{local}@{'.'.join([*labels, 'example.com'])}"
    with override_settings(DEFAULT_FROM_EMAIL=f"{SCHOOL} <{address}>"):
        content = wire(messages.sample(kind="code", language="en", recipient=address))
    assert max(map(len, content.split(b"\r\n"))) <= 998
    says(content, name=SCHOOL, address=address)
    assert read(content)["To"] == address


def test_a_message_id_stands_beside_its_name_whatever_its_length(settings) -> None:
    """Some programs read the line of its name alone. A long address stands there too."""
    domain = f"accounts.{'a' * 40}.example.com"
    settings.DEFAULT_FROM_EMAIL = f"noreply@{domain}"
    delivery = messages.sample(kind="code", language="en", recipient=f"{'b' * 40}@{domain}")
    lines = head_of(wire(delivery)).split("\r\n")
    assert {f"Message-ID: {delivery.message_id}", f"To: {delivery.recipient}"} <= set(lines)


def test_a_sender_may_be_written_in_encoded_words(settings) -> None:
    """As other programs want it; a long one is cut into several."""
    settings.DEFAULT_FROM_EMAIL = (
        "=?utf-8?b?5Y2O5Lic5biI6IyD5aSn5a2m6ZmE5bGe56ys5LiA5a6e6aqM5Lit5a2m5qCh5Y+L5Lya?= <a@b.cn>"
    )
    content = wire(messages.sample(kind="code", language="en"))
    is_fit_for_any_mail_server(content)
    says(content, name=SCHOOL, address="a@b.cn")


@pytest.mark.parametrize(("language", "name"), [("en", "School, Ltd"), ("zh-hans", SCHOOL * 3), ("ja", "School, Ltd")])
def test_answers_go_where_the_site_wants_them(settings, language: str, name: str) -> None:
    """By the mail's language, in every mail; the first is also that of languages that have none."""
    settings.REPLY_TO_EMAILS = {"en": '"School, Ltd" <help@example.com>', "zh-hans": f"{SCHOOL * 3} <help@example.com>"}
    settings.EMAIL_REPLY_TO = settings.REPLY_TO_EMAILS["en"]
    for kind in [*Delivery.Kind.values, messages.TEST]:
        content = wire(messages.sample(kind=kind, language=language))
        is_fit_for_any_mail_server(content, headers=HEADERS.replace("Subject", "Reply-To Subject"))
        says(content, header="Reply-To", name=name, address="help@example.com")
        assert parseaddr(read(content)["From"])[1] == "noreply@doorcode.test"


def test_djangos_own_backends_can_send_it(mailoutbox, django_sends_by) -> None:
    """It is a message as Django has them."""
    django_sends_by("django.core.mail.backends.locmem.EmailBackend")
    messages.build(messages.sample(kind="code", language="en")).send()
    [message] = mailoutbox
    assert message.to == ["name@example.com"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\u2028", "\x85"])
def test_a_name_with_a_line_break_adds_no_header(settings, end: str) -> None:
    """Settings refuse it; and where they did not, it is one line."""
    settings.SITE_NAME = f"Door{end}Bcc: everybody@example.com"
    content = wire(messages.sample(kind="code", language="en"))
    is_fit_for_any_mail_server(content)
    assert read(content)["Bcc"] is None


@pytest.mark.parametrize("recipient", ["a@example.com\nBcc: b@example.com", "a@example.com\r\nBcc: b@example.com"])
def test_a_recipient_with_a_line_break_is_not_built(recipient: str) -> None:
    """Nobody adds a header, or a recipient, by an address."""
    with pytest.raises(ValueError, match=r"newlines|linefeed"):
        wire(messages.sample(kind="code", language="en", recipient=recipient))


def brand(folder: Path, settings, **templates: str) -> None:
    """Templates of the site's own for the mail with the code."""
    (folder / "mail/code").mkdir(parents=True)
    for name, text in templates.items():
        (folder / "mail/code" / name.replace("_", ".")).write_text(text)
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [folder, *engine["DIRS"]]}]


@pytest.mark.parametrize(
    "text",
    [
        "Hello,\n\n.a line with a dot\nFrom here on\n",
        "你好，\n\n验证码是 0042。\n" * 40,
        "x" * 2_000 + "\n",
        "smile 😀\n",
        "lines\r\nof\rtwo\n",
    ],
)
def test_both_parts_arrive_as_they_were_written(tmp_path: Path, settings, text: str) -> None:
    """Chinese, emoji, lines too long for SMTP, any line end."""
    brand(tmp_path, settings, subject_txt="Hello", body_txt=text, body_html=text)
    content = wire(messages.sample(kind="code", language="en"))
    is_fit_for_any_mail_server(content)
    wanted = text.replace("\r\n", "\n").replace("\r", "\n")
    found = [part.get_content().replace("\r\n", "\n").replace("\r", "\n") for part in read(content).iter_parts()]
    assert found == [wanted] * 2


def test_a_broken_template_is_named(tmp_path: Path, settings) -> None:
    """In what is raised: the log has it, and the doctor."""
    brand(tmp_path, settings, body_txt="{% nothing %}")
    with pytest.raises(TemplateSyntaxError) as raised:
        messages.build(messages.sample(kind="code", language="en"))
    assert raised.value.__notes__ == ["in mail/code/body.txt"]


def test_the_default_sender_keeps_its_script() -> None:
    """The settings encode nothing: that is done where the mail is built."""
    assert load("DEFAULT_FROM_EMAIL", **GOOD, SITE_NAME=SCHOOL) == [f"{SCHOOL} <noreply@accounts.example.com>"]
