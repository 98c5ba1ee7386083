"""A worker outlives a channel that has lost its connection to Redis."""

from types import SimpleNamespace

import pytest
from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError

from worker import kombu_workaround

LOST = [SimpleNamespace(connection=None), SimpleNamespace(connection=SimpleNamespace(client=None))]


@pytest.mark.parametrize("channel", LOST)
def test_a_lost_connection_is_a_connection_error(channel: SimpleNamespace) -> None:
    """Kombu knows what to do about that."""
    with pytest.raises(ConnectionError):
        Channel._connparams(channel)


@pytest.mark.parametrize("channel", LOST)
def test_kombu_still_needs_the_workaround(channel: SimpleNamespace) -> None:
    """If this fails, kombu was fixed: delete worker/kombu_workaround.py and this file."""
    with pytest.raises(AttributeError):
        kombu_workaround._parameters(channel)
