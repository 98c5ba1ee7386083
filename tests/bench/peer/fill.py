"""Queue mails, each of a user of its own, as a crowd of sign-ups would: `python -m peer.fill NUMBER TAG`."""

import sys

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402

from .tasks import send_code  # noqa: E402


def fill(number, tag):
    users = [get_user_model()(username=f"{tag}-{n}", email=f"{tag}-{n}@example.com") for n in range(number)]
    for user in get_user_model().objects.bulk_create(users):
        send_code.delay(user.pk, user.email, "ABCD-EFGH", "account/email/email_confirmation_signup")


if __name__ == "__main__":
    fill(int(sys.argv[1]), sys.argv[2])
