"""What is counted in the process, by the names under which `/metrics` shows it."""

from prometheus_client import Counter

limits_tripped = Counter("doorcode_limits_tripped", "Requests that a limit refused", ["limit"])
limits_open = Counter("doorcode_limits_open", "Requests that a limit let pass because Redis was away", ["limit"])
