"""
Fill a Doorcode with mails that wait, each with its request, and ring for them: `python -m tests.bench.fill NUMBER TAG`.

Runs in the environment of that Doorcode.
"""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
django.setup()

from django.db import transaction  # noqa: E402

from core import addresses, clock  # noqa: E402
from verification import keys  # noqa: E402
from verification.models import CaptchaModel  # noqa: E402
from worker import bell, outbox  # noqa: E402
from worker.models import Delivery  # noqa: E402

CHUNK = 2_000


def fill(number: int, tag: str) -> None:
    for begin in range(0, number, CHUNK):
        people = [f"{tag}-{n}@example.com" for n in range(begin, min(begin + CHUNK, number))]
        now = clock.now()
        with transaction.atomic():
            captchas = CaptchaModel.objects.bulk_create(
                CaptchaModel(
                    handle=address.partition("@")[0].ljust(24, "-"),
                    address=address,
                    nonce=address[:32],
                    key_id=keys.current_key_id(),
                    length=4,
                    created_at=now,
                    requested_at=now,
                )
                for address in people
            )
            deliveries = Delivery.objects.bulk_create(
                Delivery(
                    kind=Delivery.Kind.CODE,
                    recipient=captcha.address,
                    language="en",
                    captcha=captcha,
                    generation=1,
                    mailbox=addresses.mailbox(captcha.address),
                    network=captcha.handle[:16],
                    created_at=now,
                    next_attempt_at=now,
                    published_at=now,
                    message_id=outbox.new_message_id(),
                )
                for captcha in captchas
            )
        bell.ring(deliveries[-1].pk)


if __name__ == "__main__":
    fill(int(sys.argv[1]), sys.argv[2])
