"""The Celery app: `celery -A worker worker`, `celery -A worker beat`."""

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_init
from django.dispatch import receiver
from django_structlog.celery.receivers import CeleryReceiver
from django_structlog.celery.signals import modify_context_before_task_publish
from kombu.transport import redis
from redis.exceptions import ConnectionError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")

NICE = 10  # of 19 steps to the least share of a processor that another wants

app = Celery("doorcode")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_receiver = CeleryReceiver()  # takes the request's id along in a header of the message, which older workers ignore
_receiver.connect_worker_signals()


@receiver(modify_context_before_task_publish)
def _take_the_request_alone(context: dict[str, Any], **kwargs: Any) -> None:
    """The broker learns the id of the request, and nothing else of it."""
    for name in set(context) - {"request_id"}:
        del context[name]


@setup_logging.connect
def _log_as_the_settings_say(**kwargs: Any) -> None:
    """Somebody who listens here keeps Celery from setting up logs of its own beside LOGGING."""


_channels: Any = redis.Channel
_parameters = _channels._connparams


def _parameters_of_an_open_channel(channel: redis.Channel, asynchronous: bool = False) -> Any:
    """
    Kombu 5.7 raises AttributeError where a channel that has lost its connection acknowledges a message or puts it
    back, and the worker ends of it ("Unrecoverable error"). It knows what to do about a lost connection.
    """
    if channel.connection is None or channel.connection.client is None:
        raise ConnectionError("the channel is closed")
    return _parameters(channel, asynchronous)


_channels._connparams = _parameters_of_an_open_channel


@worker_init.connect
def _stand_back(**kwargs: Any) -> None:
    """On a machine that answers visitors too, these go first: nobody waits for a mail as for a page."""
    os.nice(NICE)


@celeryd_init.connect
def _wait_longer_for_the_broker(conf: Any, **kwargs: Any) -> None:
    """A worker lives on its broker connection and may wait for it; the web process must not (settings)."""
    if conf.broker_transport_options:
        conf.broker_connection_timeout = 4
        patience = {"socket_timeout": 5, "socket_connect_timeout": 2}
        conf.broker_transport_options = {**conf.broker_transport_options, **patience}
