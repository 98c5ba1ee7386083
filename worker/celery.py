"""The Celery app: `celery -A worker worker`, `celery -A worker beat`."""

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_init
from django.dispatch import receiver
from django_structlog.celery.receivers import CeleryReceiver
from django_structlog.celery.signals import modify_context_before_task_publish

from . import kombu_workaround  # noqa: F401 - it patches kombu

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")

NICE = 10  # of 19: on a machine that answers visitors too, their pages come before mails

app = Celery("doorcode", loader="app")  # by default CELERY_LOADER in the shell, another project's, names it
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_receiver = CeleryReceiver()  # sends the request's id in a header of the message, which older workers ignore
_receiver.connect_worker_signals()


@receiver(modify_context_before_task_publish)
def _send_the_request_id_alone(context: dict[str, Any], **kwargs: Any) -> None:
    """The broker stores nothing else about the request."""
    for name in set(context) - {"request_id"}:
        del context[name]


@setup_logging.connect
def _keep_our_logging(**kwargs: Any) -> None:
    """A receiver of this signal keeps Celery from replacing LOGGING."""


@worker_init.connect
def _lower_priority(**kwargs: Any) -> None:
    os.nice(NICE)


@celeryd_init.connect
def _wait_longer_for_the_broker(conf: Any, **kwargs: Any) -> None:
    """A worker can't work without its broker connection and may wait for it; a web process must not (settings)."""
    conf.broker_connection_timeout = 4
    if conf.broker_transport_options:
        timeouts = {"socket_timeout": 5, "socket_connect_timeout": 2}
        conf.broker_transport_options = {**conf.broker_transport_options, **timeouts}
