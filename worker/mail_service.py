"""Mail by the API of a mail service, through django-anymail. Its answers mean the same as those of a mail server."""

from typing import Any

from django.core.mail import EmailMessage

from .classification import Cause, Outcome, Reply, classify

LONGEST = 1_000  # characters of an answer


def submit(backend: Any, message: EmailMessage) -> Reply:
    """
    Send one message by a backend of Anymail. Never raises for what the service does; a message that it can't carry
    raises Anymail's errors before anything is sent.

    The text of the reply begins with the digits that SMTP has for its meaning, as all that reads replies knows these.
    """
    import requests
    from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused

    try:
        backend.open()  # and stays so: one connection for all mails of a thread
        backend.send_messages([message])
    except AnymailRecipientsRefused as error:
        return Reply(Outcome.REFUSED, _words(550, error))
    except AnymailAPIError as error:
        if isinstance(error, requests.ReadTimeout) or "ReadTimeout" in type(error.__cause__).__name__:
            return Reply(Outcome.UNKNOWN, f"{type(error.__cause__).__name__}: no answer from {backend.esp_name}")
        return _failure(error)
    status = message.anymail_status  # type: ignore[attr-defined]
    return Reply(Outcome.ACCEPTED, f"250 {backend.esp_name}: {', '.join(status.status)}", status.message_id or "")


def _failure(error: Any) -> Reply:
    """The meaning of an error by its HTTP status; None is a service that was not reached."""
    status = error.status_code or _status_of_boto(error.__cause__)
    if status is None or status in (401, 403) or status >= 500:
        return Reply(Outcome.UNAVAILABLE, _words(status, error))
    if status == 429 or "Throttl" in str(error):
        return Reply(Outcome.THROTTLED, _words(status, error))
    refusal = _words(550, error)
    if classify(refusal) is Cause.MAILBOX:
        return Reply(Outcome.REFUSED, refusal)
    # Most are about our settings there, such as the sender: fixed soon, and then no mail is lost.
    return Reply(Outcome.DEFERRED, _words(450, error))


def _status_of_boto(cause: Any) -> int | None:
    """The HTTP status of an error of boto3, which Amazon SES is asked by."""
    response = getattr(cause, "response", None)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    return status if isinstance(status, int) else None


def _words(code: int | None, error: Any) -> str:
    """An error in one line."""
    return " ".join(f"{code or ''} {error}".split())[:LONGEST]
