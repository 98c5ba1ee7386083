"""
Fill a Doorcode with mails that wait, each with its request, and notify the workers: `python -m tests.bench.fill NUMBER TAG`.

Runs in the environment of that Doorcode.
"""

import os
import sys

import django
from django.db import connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
django.setup()

from verification import codes  # noqa: E402
from worker import notify  # noqa: E402

FILL = """
    WITH request AS (
        INSERT INTO verification_captchamodel (handle, address, nonce, key_id, generation, length, attempts, decoy,
            created_at, requested_at, proven_by)
        SELECT rpad(name, 24, '-'), name || '@example.com', md5(name), %s, 1, 4, 0, false, now(), now(), ''
        FROM (SELECT %s || '-' || n AS name FROM generate_series(0, %s - 1) n) people
        RETURNING id, address
    ), mail AS (
        INSERT INTO worker_delivery (kind, recipient, language, sign_up_id, generation, state, attempts, mailbox,
            network, created_at, next_attempt_at, lease_token, message_id, last_reply)
        SELECT 'code', address, 'en', id, 1, 'pending', 0, address, left(md5(address), 16), now(), now(), '',
            '<' || md5(address) || '@doorcode.test>', ''
        FROM request RETURNING id
    )
    SELECT max(id) FROM mail
"""


def fill(number: int, tag: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FILL, [codes.current_key_id(), tag, number])
        (newest,) = cursor.fetchone()
    notify.notify_workers(newest)


if __name__ == "__main__":
    fill(int(sys.argv[1]), sys.argv[2])
