"""The admin's queries on PostgreSQL: along an index, whatever the table holds."""

import re
from pathlib import Path

import pytest

from tests.servers import Postgres, System

pytestmark = pytest.mark.postgres

ROWS = 20_000
FILL = f"""
    INSERT INTO verification_captchamodel (handle, address, nonce, key_id, generation, length, attempts, decoy,
        created_at, requested_at, proven_by)
    SELECT 'h' || n, 'p' || n || '@example.com', '', '', 1, 4, 0, false, at, at, ''
    FROM generate_series(1, {ROWS}) n, LATERAL (SELECT now() - ({ROWS} - n) * interval '30 days' / {ROWS} AS at) times;
    INSERT INTO worker_delivery (kind, recipient, language, generation, state, attempts, created_at, next_attempt_at,
        lease_token, message_id, last_reply)
    SELECT 'code', 'p' || n || '@example.com', 'en', 0, CASE n % 900 WHEN 0 THEN 'failed' ELSE 'sent' END, 1, at, at,
        '', '', '250 OK'
    FROM generate_series(1, {ROWS}) n, LATERAL (SELECT now() - ({ROWS} - n) * interval '30 days' / {ROWS} AS at) times;
    ANALYZE;
"""
SCRIPT = """
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from signup.models import User
root = User.objects.create_superuser(email="root@example.com", username="root", password="correct horse b")
client = Client(); client.force_login(root)
D, C = "/admin/worker/delivery/", "/admin/verification/captchamodel/"
for path in (D, f"{D}?since=all", f"{D}?since=all&state__exact=failed", f"{D}?reason=refused", f"{D}?kind__exact=code",
             f"{D}?q=p77@example.com", f"{D}?q=%23500", C, f"{C}?q=p77@example.com", f"{C}?outcome=disowned",
             "/admin/signup/user/?standing=staff", "/admin/dashboard/"):
    with CaptureQueriesContext(connection) as queries:
        page = client.get(path)
    assert page.status_code == 200, path
    for query in queries.captured_queries:
        if query["sql"].startswith("SELECT"):
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN " + query["sql"])
                print(path, "|", " ".join(row[0] for row in cursor.fetchall()))
"""


def test_no_page_reads_a_whole_table(postgres: Postgres, tmp_path: Path) -> None:
    """Neither mails nor requests are scanned from end to end, in lists, filters, searches and the dashboard."""
    system = System(database=postgres.migrated_database(), logs=tmp_path, ALLOWED_HOSTS="testserver")
    system.execute(FILL)
    plans = system.shell(SCRIPT).splitlines()
    assert len(plans) > 40
    assert [plan for plan in plans if re.search(r"Seq Scan on (worker_delivery|verification_captchamodel)", plan)] == []
