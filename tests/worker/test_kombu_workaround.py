"""A worker outlives a channel that has lost its connection to Redis."""

from types import SimpleNamespace

import pytest
from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError

from worker import celery

LOST = [SimpleNamespace(connection=None), SimpleNamespace(connection=SimpleNamespace(client=None))]


@pytest.mark.parametrize("channel", LOST)
def test_a_lost_connection_is_a_connection_error(channel: SimpleNamespace) -> None:
    """Kombu knows what to do about that."""
    with pytest.raises(ConnectionError):
        Channel._connparams(channel)


@pytest.mark.parametrize("channel", LOST)
def test_kombu_still_needs_the_workaround(channel: SimpleNamespace) -> None:
    """If this fails, kombu was mended: delete the workaround at the end of worker/celery.py, and this file."""
    with pytest.raises(AttributeError):
        celery._parameters(channel)
