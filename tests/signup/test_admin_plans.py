"""The admin's queries on PostgreSQL: along an index, whatever the table holds."""

import os
import re
import subprocess
import sys

import pytest

from tests.servers import ROOT, Postgres

pytestmark = pytest.mark.postgres

ROWS = 20_000
SCRIPT = f"""
import django; django.setup()
from datetime import timedelta
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from core import clock
from signup.models import User
from verification.models import CaptchaModel
from worker.models import Delivery
call_command("migrate", verbosity=0)
root = User.objects.create_superuser(email="root@example.com", username="root", password="correct horse b")
now, rows = clock.now(), range({ROWS})
at = [now - timedelta(days=30) * (1 - n / {ROWS}) for n in rows]
CaptchaModel.objects.bulk_create((CaptchaModel(handle=f"h{{n}}", address=f"p{{n}}@example.com", length=4, created_at=at[n],
    requested_at=at[n]) for n in rows), batch_size=2000)
Delivery.objects.bulk_create((Delivery(recipient=f"p{{n}}@example.com", kind="code", language="en", created_at=at[n],
    next_attempt_at=at[n], state="failed" if n % 900 == 0 else "sent", last_reply="250 OK") for n in rows), batch_size=2000)
with connection.cursor() as cursor:
    cursor.execute("ANALYZE")
client = Client(); client.force_login(root)
D, C = "/admin/worker/delivery/", "/admin/verification/captchamodel/"
for path in (D, f"{{D}}?since=all", f"{{D}}?since=all&state__exact=failed", f"{{D}}?reason=refused", f"{{D}}?kind__exact=code",
             f"{{D}}?q=p77@example.com", f"{{D}}?q=%23500", C, f"{{C}}?q=p77@example.com", f"{{C}}?outcome=disowned",
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


def test_no_page_reads_a_whole_table(postgres: Postgres) -> None:
    """Neither mails nor requests are scanned from end to end, in lists, filters, searches and the dashboard."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": postgres.new_database()}
    script = SCRIPT.replace("import django;", 'import os, tests.settings as s; from core.env import Env\n'
                            's.DATABASES["default"] = Env().db_url_config(os.environ["REAL_DATABASE"])\nimport django;')  # fmt: skip
    environment["REAL_DATABASE"] = environment["DATABASE_URL"]
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    plans = done.stdout.splitlines()
    assert len(plans) > 40
    assert [plan for plan in plans if re.search(r"Seq Scan on (worker_delivery|verification_captchamodel)", plan)] == []
