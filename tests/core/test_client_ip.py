"""The client's address by trusted hops."""

import pytest
from django.test import RequestFactory

from core import client_ip
from core.client_ip import client_address, client_network


@pytest.mark.parametrize(
    ("hops", "forwarded", "socket", "client"),
    [
        (0, "9.9.9.9", "1.2.3.4", "1.2.3.4"),
        (1, "9.9.9.9, 5.6.7.8", "10.0.0.1", "5.6.7.8"),
        (2, "9.9.9.9, 5.6.7.8, 10.0.0.2", "10.0.0.1", "5.6.7.8"),
        (2, "5.6.7.8", "10.0.0.1", "10.0.0.1"),
        (1, "", "10.0.0.1", "10.0.0.1"),
        (1, "garbage", "10.0.0.1", "10.0.0.1"),
        (1, "::ffff:5.6.7.8", "10.0.0.1", "5.6.7.8"),
        (0, "", "::ffff:1.2.3.4", "1.2.3.4"),
        (0, "", "", ""),
        (1, "203.0.113.7:49152", "10.0.0.1", "203.0.113.7"),
        (1, "9.9.9.9, 203.0.113.7:49152", "10.0.0.1", "203.0.113.7"),
        (2, "203.0.113.7:49152, 10.0.0.2:80", "10.0.0.1", "203.0.113.7"),
        (1, "[2001:db8::1]:443", "10.0.0.1", "2001:db8::1"),
        (1, "[2001:db8::1]", "10.0.0.1", "2001:db8::1"),
        (1, "[::ffff:5.6.7.8]:443", "10.0.0.1", "5.6.7.8"),
        (1, "2001:db8::1", "10.0.0.1", "2001:db8::1"),
        (1, "203.0.113.7:port", "10.0.0.1", "10.0.0.1"),
        (1, "203.0.113.7:", "10.0.0.1", "10.0.0.1"),
        (1, "[2001:db8::1", "10.0.0.1", "10.0.0.1"),
        (1, "[203.0.113.7]x", "10.0.0.1", "10.0.0.1"),
        (1, "unknown", "10.0.0.1", "10.0.0.1"),
        (1, "_hidden:80", "10.0.0.1", "10.0.0.1"),
    ],
)
def test_it_counts_hops_from_the_right(settings, hops: int, forwarded: str, socket: str, client: str) -> None:
    """Entries that the client wrote itself are never trusted."""
    settings.TRUSTED_PROXIES = hops
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    assert client_address(RequestFactory().get("/", REMOTE_ADDR=socket, **headers)) == client


@pytest.mark.parametrize(
    ("socket", "network"),
    [("1.2.3.4", "1.2.3.4"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("::ffff:1.2.3.4", "1.2.3.4"), ("", "None")],
)
def test_a_network_is_what_one_subscriber_owns(socket: str, network: str) -> None:
    """An IPv4 address, or an IPv6 /64."""
    assert client_network(RequestFactory().get("/", REMOTE_ADDR=socket)) == network


@pytest.mark.parametrize(("hops", "forwarded"), [(0, "5.6.7.8"), (1, ""), (3, "5.6.7.8, 9.9.9.9")])
def test_headers_that_disagree_with_the_setting_are_logged_once(settings, caplog, hops: int, forwarded: str) -> None:
    """An operator who forgot a proxy finds it in the log; a client can't fill the log with it."""
    settings.TRUSTED_PROXIES = hops
    client_ip._warn.cache_clear()
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    for _ in range(3):
        client_address(RequestFactory().get("/", **headers))
    assert len(caplog.records) == 1
    assert f"TRUSTED_PROXIES is {hops}" in caplog.text
