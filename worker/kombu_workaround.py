"""
Works around a bug of kombu 5.7: a Redis channel that has lost its connection raises AttributeError when it acknowledges
a message or puts it back, and the worker ends with "Unrecoverable error". Kombu handles a ConnectionError.

https://github.com/celery/kombu/issues/582 is an older report of it. tests/worker/test_kombu_workaround.py fails once
kombu no longer needs this.
"""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError

_channels: Any = redis.Channel
_parameters = _channels._connparams


def _parameters_of_an_open_channel(channel: redis.Channel, asynchronous: bool = False) -> Any:
    if channel.connection is None or channel.connection.client is None:
        raise ConnectionError("the channel is closed")
    return _parameters(channel, asynchronous)


_channels._connparams = _parameters_of_an_open_channel
