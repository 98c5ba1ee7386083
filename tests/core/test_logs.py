"""Logs hold no token."""

import logging

import pytest

from core.logs import ScrubTokens, scrub


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("GET /signup/link/abcdefgh.ijklmnop/ 303", "GET /signup/link/…/ 303"),
        ('"GET /signup/link/abcdefgh.ijklmnop?x=1 HTTP/1.1"', '"GET /signup/link/…?x=1 HTTP/1.1"'),
        ("/signup/mute/abcdefgh.ijklmnop/", "/signup/mute/…/"),
        ("/password-reset/MQ/abcdef-0123456789/", "/password-reset/MQ/…/"),
        ("POST /api/captchas/abcdefghijklmnopqrstuvwx/resend/ 202", "POST /api/captchas/…/resend/ 202"),
        ("POST /api/captchas/ 202", "POST /api/captchas/ 202"),
        ("/password-reset/done/ /signup/verify/", "/password-reset/done/ /signup/verify/"),
    ],
)
def test_tokens_are_taken_out(line: str, clean: str) -> None:
    """And nothing else."""
    assert scrub(line) == clean


def test_a_slip_in_a_logging_call_raises_nothing() -> None:
    """It is for the handler to print."""
    assert ScrubTokens().filter(logging.LogRecord("x", 30, "", 0, "%s %s", ("one",), None))


def test_the_filter_reads_arguments_too() -> None:
    """As django.request logs them."""
    record = logging.LogRecord("x", 30, "", 0, "Not Found: %s", ("/signup/link/abcdefgh.ijklmnop/",), None)
    assert ScrubTokens().filter(record)
    assert record.getMessage() == "Not Found: /signup/link/…/"
