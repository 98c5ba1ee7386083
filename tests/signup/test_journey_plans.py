"""The plans of PostgreSQL for a sign-up, its mail, its code, a sweep and a purge: along an index at any table size."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.plans import nodes
from tests.servers import Postgres, System

pytestmark = pytest.mark.postgres

ROWS = int(os.environ.get("ROWS", "50000"))
GROWING = re.compile(
    "signup_user|verification_captchamodel|verification_addressguesses|worker_delivery|worker_suppression"
)
STEP = 2_000_000 / ROWS  # seconds between two rows: 23 days in all
MOST = 100  # rows that any step may look at: a batch of a claim, and what belongs to it
FILL = f"""
    INSERT INTO signup_user (password, is_superuser, email, username, username_key, language, is_active, is_staff,
        created_at, activated_at, public_id)
    SELECT '!', false, 'old' || n || '@example.com', CASE WHEN n % 10 > 0 THEN 'old' || n END,
        CASE WHEN n % 10 > 0 THEN translate('old' || n, '01', 'ol') END, 'en', n % 10 > 0, false, now() - n * interval '{STEP} s',
        CASE WHEN n % 10 > 0 THEN now() END, gen_random_uuid()
    FROM generate_series(1, {ROWS}) n;
    INSERT INTO verification_captchamodel (handle, address, nonce, key_id, generation, length, attempts, decoy,
        created_at, requested_at, proven_by)
    SELECT 'h' || n, 'old' || n || '@example.com', '', '', 1, 4, 0, false, now() - n * interval '{STEP} s',
        now() - n * interval '{STEP} s', ''
    FROM generate_series(1, {ROWS}) n;
    INSERT INTO worker_delivery (kind, recipient, language, sign_up_id, generation, state, attempts, created_at,
        next_attempt_at, lease_token, message_id, last_reply, mailbox, network, admitted_at, lease_until)
    SELECT 'code', address, 'en', id, 1, CASE WHEN id % 4 = 0 THEN 'pending' ELSE 'sent' END, 1, created_at, created_at,
        '', 'm' || id, '250 OK', address, '', now() - interval '2 hours', NULL
    FROM verification_captchamodel;
    INSERT INTO verification_addressguesses (address, guesses, updated_at)
    SELECT 'old' || n || '@example.com', '[]', now() FROM generate_series(1, {ROWS}) n;
    INSERT INTO worker_suppression (address, until)
    SELECT 'muted' || n || '@example.com', now() + interval '1 day' FROM generate_series(1, {ROWS}) n;
    ANALYZE;
"""
QUIET, BACKLOG = (
    f"""
    INSERT INTO worker_delivery (kind, recipient, language, generation, state, attempts, created_at, next_attempt_at,
        lease_token, message_id, last_reply, mailbox, network)
    SELECT 'code', 'old' || n || '@example.com', 'en', 1, {state}, 0, now(), now() - random() * interval '1 hour', '', '',
        '', '', ''
    FROM generate_series(1, {ROWS}) n;
    """
    for state in (f"CASE n % {ROWS // 4} WHEN 0 THEN 'pending' ELSE 'sent' END", "'pending'")
)
CLAIM = """
import json
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from worker import outbox
plans = []
with transaction.atomic(), connection.cursor() as cursor:
    with CaptureQueriesContext(connection) as queries:
        assert len(outbox.claim(limit=50)) == 50
    for sql in [query["sql"] for query in queries if query["sql"].startswith("SELECT")]:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        plans.append({"step": "claim", "sql": sql, "plan": cursor.fetchone()[0][0]["Plan"]})
print("PLANS" + json.dumps(plans))
"""
PURGE = """
import json
from django.db import transaction
from signup import retention
plans = []
for kind in ("codes", "users"):
    rows = retention.outdated()[kind].select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)
    with transaction.atomic():
        [explained] = json.loads(rows[: retention.BATCH].explain(format="json", analyze=True))
    plans.append({"step": kind, "plan": explained["Plan"]})
print("PLANS" + json.dumps(plans))
"""
JOURNEY = """
import json
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from signup import retention
from tests.factories import right, wrong
from verification.models import CaptchaModel
from worker import notify, sending, smtp, sweeper
from worker.classification import Outcome, Reply
notify.notify_workers = lambda number: True
sending._pace.seconds = 0.02  # of a process that has sent mails: it claims 50
smtp.EmailBackend.submit = lambda backend, message, probe=False: Reply(Outcome.ACCEPTED, "250 OK")
steps = {}

def step(name, do):
    with CaptureQueriesContext(connection) as queries:
        answer = do()
    steps[name] = [query["sql"] for query in queries]
    return answer

client, other = Client(), Client()
for visitor in (client, other):
    visitor.get("/signup/")
step("sign up", lambda: client.post("/signup/", {"email": "new@example.com"}))
step("sign up, registered", lambda: other.post("/signup/", {"email": "old77@example.com"}))
assert step("deliver", sending.deliver)
step("deliver", sending.deliver)
sign_up = CaptchaModel.objects.get(address="new@example.com")
form = {"email": sign_up.address, "username": "somebody", "password": "correct horse b"}
step("see the form", lambda: client.get("/signup/verify/"))
step("state of the mail", lambda: client.get("/signup/status/"))
assert step("wrong code", lambda: client.post("/signup/verify/", {**form, "captcha": wrong(sign_up)})).status_code == 400
step("resend", lambda: client.post("/signup/resend/"))
taken = {**form, "username": "old11", "captcha": right(sign_up)}
assert step("taken name", lambda: client.post("/signup/verify/", taken)).status_code == 400
done = step("right code", lambda: client.post("/signup/verify/", {**form, "captcha": right(sign_up)}))
assert done.status_code == 302 or done.status_code == 303, done.content
step("account", lambda: client.get("/account/"))
step("sign out", lambda: client.post("/logout/"))
assert step("sign in", lambda: client.post("/login/", {k: form[k] for k in ("username", "password")})).status_code == 302
step("reset", lambda: other.post("/password-reset/", {"email": "old77@example.com"}))
step("sweep", sweeper.sweep)
for kind, rows in retention.outdated().items():
    with transaction.atomic():
        step(f"purge {kind}", lambda: list(rows.select_for_update(skip_locked=True, of=("self",))[:50]))
plans = []
with connection.cursor() as cursor:
    for name, queries in steps.items():
        for sql in queries:
            if sql.split()[0] in ("SELECT", "UPDATE", "DELETE", "WITH"):
                asks = sql.startswith("SELECT") and "COUNT(*)" not in sql
                cursor.execute(f"EXPLAIN ({'ANALYZE, ' if asks else ''}FORMAT JSON) {sql}")
                plans.append({"step": name, "sql": sql, "plan": cursor.fetchone()[0][0]["Plan"]})
print("PLANS" + json.dumps(plans))
"""
COUNTS = """
from core.observability import counters
from signup import services
from tests.factories import right
from worker import notify, outbox, sweeper
from worker.classification import Outcome, Reply
notify.notify_workers = lambda number: True
for number in range(10):
    new = services.request_code(address=f"new{number}@example.com", language="en", held={}, network="n")
    claimed = outbox.claim(limit=1)
    outbox.settle(results=[(mail, Reply(Outcome.ACCEPTED, "250 OK")) for mail in claimed])
    new.refresh_from_db()
    services.prove(sign_up=new, address=new.address, code=right(new))
    counters.flush()
    sweeper._last_beat = float("-inf")
    sweeper.beat()
"""
COUNTED = """
    SELECT relname, n_tup_upd, n_tup_upd - n_tup_hot_upd FROM pg_stat_user_tables WHERE relname IN
    ('core_countervalue', 'verification_addressguesses', 'worker_heartbeat', 'worker_sitemails')
"""


def plans_of(steps: str, postgres: Postgres, folder: Path, *fills: str) -> list[dict[str, Any]]:
    """The plans that a script prints, in a Doorcode with these rows."""
    system = System(database=postgres.migrated_database(), logs=folder, ALLOWED_HOSTS="testserver")
    for fill in fills:
        system.execute(fill)
    plans: list[dict[str, Any]] = json.loads(system.shell(steps).partition("PLANS")[2])
    return plans


def test_no_step_reads_a_growing_table_through(postgres: Postgres, tmp_path: Path) -> None:
    """Nor more of its rows than it needs, though a quarter of all mails wait. `ROWS=1000000 pytest` for a million."""
    plans = plans_of(JOURNEY, postgres, tmp_path, FILL)
    assert len({each["step"] for each in plans}) > 15
    for each in plans:
        for node in nodes(each["plan"]):
            if GROWING.fullmatch(node.get("Relation Name", "")):
                assert node["Node Type"] != "Seq Scan", (each["step"], each["sql"])
                if not each["step"].startswith("purge"):  # it may merge the rows to delete with waiting ones
                    assert node.get("Actual Rows", 0) <= MOST, (each["step"], each["sql"])


def test_a_claim_sorts_no_sudden_backlog(postgres: Postgres, tmp_path: Path) -> None:
    """The planner's statistics are of a quiet hour, when hardly a mail waited."""
    quiet = ("ALTER TABLE worker_delivery SET (autovacuum_enabled = false)", QUIET, "ANALYZE", BACKLOG)
    plans = plans_of(CLAIM, postgres, tmp_path, *quiet)
    assert plans
    for each in plans:
        for node in nodes(each["plan"]):
            assert node["Actual Rows"] <= MOST, each["sql"]


def test_a_purge_does_not_read_the_mails_that_are_kept(postgres: Postgres, tmp_path: Path) -> None:
    """While few of them wait: else each batch would take longer, the more mails are kept."""
    plans = plans_of(PURGE, postgres, tmp_path, FILL.replace("id % 4 = 0", f"id % {ROWS // 50} = 0"))
    for each in plans:
        assert each["plan"]["Actual Rows"] == 500, each["step"]
        for node in nodes(each["plan"]):
            if node.get("Relation Name") == "worker_delivery":
                assert node["Actual Rows"] + node.get("Rows Removed by Filter", 0) <= MOST, each


def test_counting_writes_to_no_index(postgres: Postgres, tmp_path: Path) -> None:
    """The rows that are updated most often are updated in place (HOT), so that their indexes don't grow by it."""
    limits = {"LIMIT_MAILS_SITE": "2000/h", "LIMIT_GUESSES_ADDRESS": "9:8,100:link"}
    system = System(database=postgres.migrated_database(), logs=tmp_path, **limits)
    system.shell(COUNTS)
    counted = system.rows(COUNTED)
    assert len(counted) == 4
    for table, updated, by_indexes in counted:
        assert updated, table
        assert not by_indexes, table
