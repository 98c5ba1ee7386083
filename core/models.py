"""The rows of core/observability/counters.py."""

from django.db import models


class CounterValue(models.Model):
    """The value of a counter, of all processes together, since the database was created."""

    name = models.CharField(max_length=64)  # of the metric
    labels = models.CharField(max_length=128, blank=True)  # values, joined by "/"
    value = models.FloatField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "labels"], name="counter_name_labels")]
