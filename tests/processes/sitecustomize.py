"""
Python imports this first in the processes that the tests start (`servers.ENVIRONMENT`).

Python looks through all that a process has loaded for garbage, again and again while it loads, and at its end: nearly
half of the CPU time of a process that loads Doorcode and does nothing. None of it is garbage: Python looks when as many
objects are new as Doorcode has when it is loaded, and not at the end. The system takes the memory back anyway.

Django, the REST framework and structlog load what they find of these packages. Production has none of them (they come
with tools of the tests), and each web process is loaded in four fifths of the time without. Where mail leaves by a mail
service, django-anymail brings requests.
"""

import atexit
import gc
import os
import sys

gc.set_threshold(250_000, 10, 10)
atexit.register(gc.freeze)
ABSENT = ["docutils", "greenlet", "jinja2", "pygments", "rich"]
if not any(os.environ.get(name, "").startswith("anymail+") for name in ("EMAIL_URL", "EMAIL_FALLBACK_URL")):
    ABSENT.append("requests")
sys.modules.update(dict.fromkeys(ABSENT))  # None: it cannot be imported
