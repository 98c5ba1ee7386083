"""What is written is read back by Python's own parser."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from worker import mime

PLAIN = "Hello,\n\n.a line with a dot\nFrom here on\n"
HTML = "<p>Hello</p>\n"


def compose(*, subject: str = "1234 is your code", text: str = PLAIN, html: str = HTML, **headers: str) -> bytes:
    return mime.compose({"Subject": subject, "To": "a@example.com", **headers}, text=text, html=html, boundary="=_1.2")


def read(message: bytes) -> EmailMessage:
    return message_from_bytes(message, _class=EmailMessage, policy=default)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "你好，\n\n验证码是 0042。\n" * 40,
        "x" * 2_000 + "\n",
        "a\u2028b\x0bc\n",
        "smile 😀\n",
        "lines\r\nof\rtwo\n",
    ],
)
def test_parts_survive(text: str) -> None:
    """Chinese, emoji, lines too long for SMTP, any line end."""
    message = read(compose(text=text, html=text))
    wanted = text.replace("\r\n", "\n").replace("\r", "\n")
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content().replace("\r\n", "\n") for part in message.iter_parts()] == [wanted] * 2
    assert not message.defects


@pytest.mark.parametrize("text", [PLAIN, "你好\n" * 500, "x" * 5_000])
def test_it_is_fit_for_any_mail_server(text: str) -> None:
    """ASCII, CRLF alone, lines of 998 characters at the most."""
    message = compose(text=text, subject="0042 是您在门码的验证码" * 5)
    assert message.isascii()
    assert message.count(b"\r\n") == message.count(b"\n") == message.count(b"\r")
    assert max(map(len, message.split(b"\r\n"))) <= 998
    assert message.endswith(b"--=_1.2--\r\n")


@pytest.mark.parametrize("subject", ["Short", "0042 是您的验证码", "A site of " + "many words " * 20, "😀" * 80])
def test_subjects_survive(subject: str) -> None:
    """Folded where they are long."""
    message = compose(subject=subject)
    assert read(message)["Subject"].strip() == subject.strip()
    head = message.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78


@pytest.mark.parametrize("name", ["Subject", "To", "X-Other"])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_header_is_one_line(name: str, end: str) -> None:
    """Nobody adds a header, or a recipient, by a value."""
    with pytest.raises(ValueError, match="line break"):
        compose(**({"subject": f"a{end}Bcc: b@example.com"} if name == "Subject" else {name: f"a{end}Bcc: b"}))


def test_other_headers_are_ascii() -> None:
    """An address that isn't was refused long before."""
    with pytest.raises(UnicodeEncodeError):
        compose(To="zoë@example.com")
