"""
Whose account a password reset is for. A worker looks when it claims the mail. The request that asked for it does not,
nor does its row refer to the account: the time of that, and of PostgreSQL's check, would tell who has one.
"""

from collections.abc import Sequence

from django.contrib.auth import get_user_model

from .models import Delivery, new_message_id


def find_accounts(deliveries: Sequence[Delivery]) -> None:
    """
    Set `user` on the password resets, in memory: the account that may set a new password now, or None. Its language
    becomes that of the mail, and is saved: call it in the transaction that locked the mails.
    """
    resets = [each for each in deliveries if each.kind == Delivery.Kind.PASSWORD_RESET]
    if not resets:
        return
    accounts = get_user_model().objects.resettable().in_bulk({each.recipient for each in resets}, field_name="email")
    for each in resets:
        each.user = accounts.get(each.recipient)
        if each.user and each.user.language not in ("", each.language):
            each.language = each.user.language
            each.message_id = new_message_id(each.language)
            Delivery.objects.filter(pk=each.pk).update(language=each.language, message_id=each.message_id)
