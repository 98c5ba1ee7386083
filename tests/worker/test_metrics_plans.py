"""A scrape costs what waits, not what was: PostgreSQL's plans over a full mail log."""

import json
import os
from pathlib import Path

import pytest

from tests.plans import nodes
from tests.servers import Postgres, System

pytestmark = pytest.mark.postgres

ROWS = int(os.environ.get("ROWS", "100000"))
FILL = f"""
    INSERT INTO verification_captchamodel (handle, address, nonce, key_id, generation, length, attempts, decoy,
        created_at, requested_at, proven_by)
    SELECT 'h' || n, 'a' || n || '@example.com', '', '', 1, 4, 0, false, now(), now(), ''
    FROM generate_series(1, {ROWS}) n;
    INSERT INTO worker_delivery (kind, recipient, language, generation, state, attempts, created_at, next_attempt_at,
        lease_token, message_id, last_reply, mailbox, network, admitted_at, lease_until)
    SELECT 'code', 'a' || n || '@example.com', 'en', 1,
        CASE WHEN n % 1000 = 0 THEN 'pending' WHEN n % 1000 = 1 THEN 'sending' ELSE 'sent' END,
        1, now(), now() - n * interval '1 s', '', 'm' || n, '250 OK', 'a' || n, '', now(), now()
    FROM generate_series(1, {ROWS}) n;
    ANALYZE;
"""
SCRAPE = """
import json, time
from django.db import connection
from django.test.utils import CaptureQueriesContext
from core.observability import metrics
from core.observability.metrics import _collectors
with CaptureQueriesContext(connection) as queries:
    for needs, collect in _collectors:
        if needs == "database":
            list(collect())
plans = []
with connection.cursor() as cursor:
    for sql in [query["sql"] for query in queries]:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql)
        plans.append({"sql": sql, "plan": cursor.fetchone()[0][0]})
print("PLANS" + json.dumps(plans))
"""


def test_no_query_of_a_scrape_reads_a_growing_table_through(postgres: Postgres, tmp_path: Path) -> None:
    """Nor more of its rows than wait. `ROWS=1000000 pytest -s` prints the times of a million."""
    system = System(database=postgres.migrated_database(), logs=tmp_path)
    system.execute(FILL)
    plans = json.loads(system.shell(SCRAPE).partition("PLANS")[2])
    assert sum("worker_delivery" in each["sql"] for each in plans) == 3
    for each in plans:
        print(f"{each['plan']['Execution Time']:8.2f} ms  {each['sql'][:100]}")
        for node in nodes(each["plan"]["Plan"]):
            if node.get("Relation Name") in ("worker_delivery", "verification_captchamodel"):
                assert "Index" in node["Node Type"] or "Bitmap" in node["Node Type"], each["sql"]
                assert node["Actual Rows"] <= ROWS / 1000, each["sql"]
