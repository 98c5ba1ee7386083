"""The floor: what Django, PostgreSQL, Redis and Celery cost at the least for a sign-up, in views that do nothing else."""
