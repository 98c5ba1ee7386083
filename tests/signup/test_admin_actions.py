"""Actions on many rows: an operator sees the rows, and confirms."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import Client

from core import clock
from signup.admin import base
from signup.models import User
from tests.factories import ALICE, BOB, make_captcha, make_delivery, make_pending, make_user, text_of
from verification.models import CaptchaModel
from worker.models import Delivery, Suppression

pytestmark = pytest.mark.django_db

MAILS, SIGNUPS, ACCOUNTS = "/admin/worker/delivery/", "/admin/verification/captchamodel/", "/admin/signup/user/"


def choose(client: Client, path: str, action: str, *rows: object, **headers: str) -> HttpResponse:
    fields = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(path, fields, headers=headers)


def confirm(client: Client, path: str, page: HttpResponse, **headers: str) -> str:
    """Send the form of the confirmation as a browser would; return the page after it."""
    form = text_of(page).partition('<form method="post">')[2].partition("</form>")[0]
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form):
        fields.setdefault(name, []).append(value)
    assert fields
    return text_of(client.post(path, fields, follow=True, headers=headers))


def fail(delivery: Delivery, reply: str = "550 5.1.1 no such user") -> Delivery:
    Delivery.objects.filter(pk=delivery.pk).update(state="failed", attempts=9, last_reply=reply)
    return delivery


def states() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("state", flat=True))


def test_a_mail_is_sent_again_after_confirmation(admin: Client, caplog) -> None:
    """The confirmation names the mail and the reply, and changes nothing by itself. The log has what was done."""
    delivery, sent = fail(make_delivery(make_captcha())), make_delivery(make_captcha(BOB), recipient=BOB)
    Delivery.objects.filter(pk=sent.pk).update(state="sent")
    page = choose(admin, MAILS, "send_again", delivery, sent)
    assert "1 row of those that you chose" in text_of(page)
    assert f"{ALICE} · code · failed · 550 5.1.1 no such user" in text_of(page)
    assert BOB not in text_of(page)
    assert states() == ["failed", "sent"]
    assert "send_again" not in caplog.text
    assert "1 delivery is sent again" in confirm(admin, MAILS, page)
    assert states() == ["pending", "sent"]
    assert f"send_again: #{delivery.pk}\n" in caplog.text


@pytest.mark.parametrize(("action", "active"), [("disable", True), ("activate", False)])
def test_the_history_of_an_account_has_what_an_action_did(admin: Client, action: str, active: bool) -> None:
    """As that of the form: who, when, and which field; of those that were changed."""
    alice, bob = make_user(), make_user("bob", BOB)
    User.objects.filter(pk=alice.pk).update(is_active=active)
    User.objects.filter(pk=bob.pk).update(is_active=not active)
    confirm(admin, ACCOUNTS, choose(admin, ACCOUNTS, action, alice, bob))
    [entry] = LogEntry.objects.all()
    assert (entry.get_edited_object(), entry.user.username) == (alice, "root")
    assert entry.get_change_message() == "Changed Active."


def test_a_confirmation_says_nothing_of_what_a_row_lacks(admin: Client) -> None:
    """No dot stands before a reply that there is none of."""
    page = choose(admin, MAILS, "send_again", fail(make_delivery(make_captcha()), reply=""))
    assert f"<li>{ALICE} · code · failed</li>" in text_of(page)


def test_the_confirmation_is_in_the_operators_language(admin: Client) -> None:
    """And so is the message after it."""
    page = choose(admin, MAILS, "send_again", fail(make_delivery(make_captcha())), **{"accept-language": "zh-CN"})
    assert "重新发送这些邮件？" in text_of(page)
    assert "已重新发送 1 封邮件" in confirm(admin, MAILS, page, **{"accept-language": "zh-CN"})


def test_rows_that_the_confirmation_did_not_show_are_not_changed(admin: Client) -> None:
    """Even where all rows of a filter are chosen."""
    first = fail(make_delivery(make_captcha()))
    fields = {"action": "send_again", "_selected_action": [first.pk], "select_across": "1"}
    page = admin.post(f"{MAILS}?state__exact=failed", fields)
    fail(make_delivery(make_captcha(BOB)))
    confirm(admin, f"{MAILS}?state__exact=failed", page)
    assert states() == ["pending", "failed"]


def test_an_action_changes_a_limited_number_of_rows(admin: Client, monkeypatch) -> None:
    """Also where a forged form names more."""
    monkeypatch.setattr(base, "MAX_CONFIRMED", 2)
    rows = [fail(make_delivery(make_captcha(f"p{n}@example.com"))) for n in range(3)]
    page = choose(admin, MAILS, "send_again", *rows)
    assert "2 rows of those that you chose" in text_of(page)
    assert "There are more" in text_of(page)
    forged = {"action": "send_again", "_selected_action": [row.pk for row in rows]}
    forged["confirmed"] = ",".join(str(row.pk) for row in rows)
    admin.post(MAILS, forged)
    assert states() == ["pending", "pending", "failed"]


def test_a_selection_without_a_possible_row_cannot_be_confirmed(admin: Client) -> None:
    """The page says so, and has no button."""
    page = text_of(choose(admin, MAILS, "send_again", make_delivery()))
    assert "This isn't possible for any of the rows that you chose." in page
    assert 'name="confirmed"' not in page


@pytest.mark.parametrize(("path", "action"), [(MAILS, "send_again"), (SIGNUPS, "send_code"), (ACCOUNTS, "disable")])
def test_an_action_needs_more_than_the_permission_to_view(client: Client, path: str, action: str) -> None:
    """Each needs the permission to change."""
    viewer = make_user("viewer", "viewer@example.com", is_staff=True)
    codes = ["view_delivery", "view_captchamodel", "view_user"]
    viewer.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client.force_login(viewer)
    sign_up, alice = make_captcha(), make_user()
    CaptchaModel.objects.update(requested_at=clock.now() - timedelta(minutes=5))
    delivery = fail(make_delivery(sign_up))
    row = {MAILS: delivery, SIGNUPS: sign_up, ACCOUNTS: alice}[path]
    client.post(path, {"action": action, "_selected_action": [row.pk], "confirmed": str(row.pk)})
    alice.refresh_from_db()
    assert (states(), alice.is_active) == (["failed"], True)


def test_a_code_is_sent_again_in_the_language_of_the_first(admin: Client) -> None:
    """The same code, another mail."""
    sign_up = make_captcha()
    Delivery.objects.filter(pk=make_delivery(sign_up, language="zh-hant").pk).update(state="sent")
    CaptchaModel.objects.update(requested_at=clock.now() - timedelta(minutes=5))
    page = choose(admin, SIGNUPS, "send_code", sign_up)
    assert f"{ALICE} · open" in text_of(page)
    assert Delivery.objects.count() == 1
    assert "1 code is sent again" in confirm(admin, SIGNUPS, page)
    assert list(Delivery.objects.values_list("language", "generation")) == [("zh-hant", 1)] * 2


def test_a_code_that_still_waits_is_not_sent_again(admin: Client) -> None:
    """For the mail server, or a mail limit: it leaves no sooner."""
    sign_up = make_captcha(accepted=False)
    delivery = make_delivery(sign_up)
    later = clock.now() + timedelta(minutes=8)
    Delivery.objects.filter(pk=delivery.pk).update(attempts=3, next_attempt_at=later)
    CaptchaModel.objects.update(requested_at=clock.now() - timedelta(minutes=5))
    page = choose(admin, SIGNUPS, "send_code", sign_up)
    assert "0 codes are sent again" in confirm(admin, SIGNUPS, page)


def test_a_code_is_not_sent_twice_in_a_minute_nor_once_proven(admin: Client) -> None:
    """The same rules as for the visitor."""
    fresh, proven = make_captcha(), make_captcha(BOB)
    CaptchaModel.objects.filter(pk=proven.pk).update(proven_at=clock.now())
    page = choose(admin, SIGNUPS, "send_code", fresh, proven)
    assert BOB not in text_of(page)
    assert "0 codes are sent again" in confirm(admin, SIGNUPS, page)
    assert not Delivery.objects.exists()


def test_accounts_are_disabled_and_activated(admin: Client) -> None:
    """But not the operator's own, and none that nobody has proven."""
    alice, pending = make_user(), make_pending(BOB)
    root = alice.__class__.objects.get(username="root")
    page = choose(admin, ACCOUNTS, "disable", alice, pending, root)
    assert "1 row of those" in text_of(page)
    confirm(admin, ACCOUNTS, page)
    alice.refresh_from_db(), root.refresh_from_db()
    assert (alice.is_active, alice.is_registered, root.is_active) == (False, True, True)
    page = choose(admin, ACCOUNTS, "activate", alice, pending)
    assert "1 row of those" in text_of(page)
    confirm(admin, ACCOUNTS, page)
    alice.refresh_from_db(), pending.refresh_from_db()
    assert (alice.is_active, pending.is_active) == (True, False)


def test_staff_does_not_disable_superusers(client: Client) -> None:
    """Nor other staff: only a superuser does."""
    helper = make_user("helper", "helper@example.com", is_staff=True)
    helper.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    root = make_user("root", "root@example.com", is_staff=True, is_superuser=True)
    client.force_login(helper)
    client.post(ACCOUNTS, {"action": "disable", "_selected_action": [root.pk], "confirmed": str(root.pk)})
    root.refresh_from_db()
    assert root.is_active


@pytest.mark.parametrize("path", ["/admin/worker/suppression/", f"{ACCOUNTS}?standing=pending"])
def test_many_rows_are_deleted_in_parts(admin: Client, path: str) -> None:
    """The confirmation of "select all" can be sent: it has a field for each row, and a form has 100 at most."""
    addresses = [f"{number}@example.com" for number in range(120)]
    if path.startswith(ACCOUNTS):
        User.objects.bulk_create(User(email=each, is_active=False) for each in addresses)
        rows = User.objects.pending()
    else:
        until = clock.now() + timedelta(days=1)
        Suppression.objects.bulk_create(Suppression(address=each, reason="bounced", until=until) for each in addresses)
        rows = Suppression.objects.all()
    for left in (30, 0):
        fields = {"action": "delete_selected", "select_across": "1", "_selected_action": [rows[0].pk]}
        assert "Successfully deleted" in confirm(admin, path, admin.post(path, fields))
        assert rows.count() == left
