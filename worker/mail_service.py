"""Mail by the API of a mail service, through django-anymail. Its answers mean the same as those of a mail server."""

import re
from traceback import walk_tb
from typing import Any

from django.core.mail import EmailMessage

from core import invisible

from .classification import Cause, Outcome, Reply, cause_of, error_text, reply_text

# What Postmark (422) and Amazon SES (400) say of an account that may send nothing: out of credit, paused, in review.
CLOSED = re.compile(r'"ErrorCode": ?(405|412|413)\b|\b(SendingPaused|AccountSuspended)')
# What Amazon SES and Resend (403) say of our key. Other words at 403 or 404 may be about one sender alone.
KEY = re.compile(
    r'UnrecognizedClient|InvalidClientTokenId|InvalidSignature|SignatureDoesNotMatch|ExpiredToken|"invalid_api_key"'
)
LIMITED = re.compile(r"Throttl|LimitExceeded")  # how Amazon SES (400) says it; SparkPost has a status of its own, 420


def submit(backend: Any, message: EmailMessage) -> Reply:
    """
    Send one message by a backend of Anymail. Never raises for what the service does; a message that it can't carry
    raises Anymail's errors before anything is sent.

    The text of the reply begins with the SMTP code of the same meaning, which all code that reads replies expects.
    """
    from anymail.exceptions import AnymailAPIError, AnymailInvalidAddress, AnymailRecipientsRefused

    try:
        backend.open()  # and stays so: one connection for all mails of a thread
        backend.send_messages([message])
    except AnymailRecipientsRefused:
        pass  # the status says so too, and for more services
    except AnymailAPIError as error:
        return _failure(error)
    except Exception as error:
        if _answer_to(message) is not None:
            return Reply(Outcome.UNKNOWN, error_text(error))  # its answer can't be read
        if isinstance(error, AnymailInvalidAddress) and "in `to`" in str(error):
            # As a..b@docomo.ne.jp, which no service takes.
            return Reply(Outcome.REFUSED, reply_text(550, f"5.1.3 {error}"))
        raise
    return _answer(backend, message)


def _answer(backend: Any, message: EmailMessage) -> Reply:
    """The meaning of an answer that could be read."""
    from anymail.exceptions import AnymailRequestsAPIError

    status = message.anymail_status  # type: ignore[attr-defined]
    if refusals := {"invalid", "rejected"} & set(status.status):
        said = getattr(status.esp_response, "text", "")
        return Reply(Outcome.REFUSED, reply_text(550, f"{backend.esp_name}: {', '.join(refusals)}: {said}"))
    if not status.message_id and getattr(status.esp_response, "status_code", 200) >= 400:  # so Mailjet refuses
        return _failure(AnymailRequestsAPIError(response=status.esp_response, email_message=message, backend=backend))
    if not status.message_id:  # a service that accepts a mail gives it an id
        return Reply(Outcome.UNKNOWN, f"no id from {backend.esp_name}")
    said = f"250 {backend.esp_name}: {', '.join(status.status)}"
    return Reply(Outcome.ACCEPTED, said, provider_id=invisible.one_line(f"{status.message_id}"))


def _failure(error: Any) -> Reply:
    """The meaning of an error by its HTTP status; None is a service that was not reached, or did not answer."""
    status = error.status_code or _status_of_boto(error)
    # 2xx: with an answer that can't be read; 504, and Cloudflare's 524: a gateway waited for the service in vain.
    if (status and (status // 100 == 2 or status in (504, 524))) or _is_silence(error.__cause__):
        return Reply(Outcome.UNKNOWN, reply_text(None, error))
    # Our key, bill or domain there.
    if status is None or status in (401, 402, 403, 404) or status >= 500 or CLOSED.search(str(error)):
        is_about_sender = status in (403, 404) and not KEY.search(str(error))
        return Reply(Outcome.UNAVAILABLE, reply_text(status, error), is_about_sender=is_about_sender)
    if status in (420, 429) or LIMITED.search(str(error)):
        return Reply(Outcome.THROTTLED, reply_text(status, error))
    refusal = reply_text(550, error)
    if cause_of(refusal) is Cause.MAILBOX:
        return Reply(Outcome.REFUSED, refusal)
    # Most are about our settings there, such as the sender: fixed soon, and then no mail is lost.
    return Reply(Outcome.DEFERRED, reply_text(450, error))


def _is_silence(cause: Any) -> bool:
    """Whether the service may have taken the mail before the connection failed: by the errors of requests and boto3."""
    inner = getattr(cause, "args", ())
    names = {type(each).__name__ for each in (cause, *inner)}
    silent = {"ReadTimeout", "ReadTimeoutError", "ProtocolError", "ConnectionClosedError", "ContentDecodingError"}
    # Behind a proxy, urllib3 blames it also for a service that hangs up. And a gateway may break into the answer.
    gateway = {"ProxyError", "ProxyConnectionError", "SSLError"}
    return not names.isdisjoint(silent | gateway) and not _was_connecting(cause)


def _was_connecting(error: BaseException | None) -> bool:
    """
    Whether an error is from `connect()` of http.client's connections. That includes TLS and the way through a proxy,
    whose silence urllib3 reports in the same words as that of a service which has the whole mail.
    """
    if error is None:
        return False
    if any(frame.f_code.co_name == "connect" for frame, _ in walk_tb(error.__traceback__)):
        return True
    return any(map(_was_connecting, {error.__cause__, error.__context__}))


def _status_of_boto(error: Any) -> int | None:
    """The HTTP status of what boto3, which Amazon SES is asked by, raised; or returned, if Anymail can't read it."""
    for each in (getattr(error.__cause__, "response", None), _answer_to(error.email_message)):
        status = each.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(each, dict) else None
        if isinstance(status, int):
            return status
    return None


def _answer_to(message: Any) -> Any:
    """What the service answered to a message, None if it did not."""
    return getattr(getattr(message, "anymail_status", None), "esp_response", None)
