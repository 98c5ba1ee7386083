"""A task that does nothing: what a message costs, sent and received."""

from celery import Celery

app = Celery("floor")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_default_queue = "floor"


@app.task(name="floor.nothing")
def nothing(number: int) -> None:
    """Receive the message."""
