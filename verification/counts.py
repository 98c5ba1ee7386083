"""What is counted of codes, for `/metrics`."""

from core.observability.counters import Counter, Histogram

STEPS = ("requested", "accepted", "proven", "registered")
DELAYS = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0)  # seconds

codes = Counter("doorcode_codes", "Codes by how far they came", ["step"], known=[(step,) for step in STEPS])
wrong = Counter("doorcode_wrong_guesses", "Wrong codes typed")
proven_after = Histogram("doorcode_proof_seconds", "From the acceptance of a mail to its proof", DELAYS)
