"""
Python imports this first in the processes that the tests start (`servers.ENVIRONMENT`).

At its end Python looks through everything that it has loaded for garbage, several times: 0.3 of the 1.1 CPU seconds of
a process that has loaded Doorcode and does nothing. The system takes the memory back anyway.

Django, the REST framework and structlog load what they find of these packages. Production has none of them (they come
with tools of the tests), and each web process is loaded in nine tenths of the time without.
"""

import atexit
import gc
import sys

atexit.register(gc.freeze)
sys.modules.update(dict.fromkeys(("docutils", "greenlet", "jinja2", "rich")))  # None: it cannot be imported
