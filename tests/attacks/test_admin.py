"""Attacks 59 to 63: by staff, and by somebody at their open session."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.db.models import CharField
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from knox.models import AuthToken

from core import passwords
from signup.accounts.services import AccountChanged
from signup.api import tokens
from signup.models import User
from tests.factories import (
    ALICE,
    BOB,
    PASSWORD,
    claim_mail,
    make_captcha,
    make_delivery,
    make_pending,
    make_user,
    text_of,
)
from worker.models import Delivery

pytestmark = pytest.mark.django_db

ACCOUNTS, GROUPS = "/admin/signup/user/", "/admin/auth/group/"
NEW = "another horse b"
NEW_PASSWORD = {"usable_password": "true", "password1": NEW, "password2": NEW}


@pytest.fixture
def helper(client: Client) -> User:
    """Staff that may do everything to accounts and groups but is no superuser; the client is signed in as it."""
    user = make_user("helper", "helper@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__model__in=["user", "group"]))
    client.force_login(user)
    return user


@pytest.fixture
def root(client: Client) -> User:
    """A superuser; the client is signed in as it."""
    user = make_user("root", "root@example.com", is_staff=True, is_superuser=True)
    client.force_login(user)
    return user


def save(client: Client, user: User, **changes: Any) -> HttpResponse:
    """Send the change form of an account with all that it holds, but for the changes."""
    held = {"email": user.email, "username": user.username or "", "language": user.language}
    flags = {name: "on" for name in ("is_active", "is_staff", "is_superuser") if getattr(user, name)}
    return client.post(f"{ACCOUNTS}{user.pk}/change/", {**held, **flags, **changes})


def columns(user: User) -> dict[str, Any]:
    found: dict[str, Any] = User.objects.filter(pk=user.pk).values().get()
    return found


@pytest.mark.parametrize("who", ["itself", "somebody else"])
def test_59_staff_gives_nobody_permissions(client: Client, helper: User, who: str) -> None:
    """Neither by the form of its own account, nor by that of an ordinary one."""
    user = helper if who == "itself" else make_user()
    group = Group.objects.create(name="everything")
    before = set(user.user_permissions.all())
    everything = [str(pk) for pk in Permission.objects.values_list("pk", flat=True)]
    given = {"is_staff": "on", "is_superuser": "on", "groups": [str(group.pk)], "user_permissions": everything}
    save(client, user, **given)
    now = User.objects.get(pk=user.pk)
    assert (now.is_staff, now.is_superuser) == (user.is_staff, False)
    assert set(now.user_permissions.all()) == before
    assert not now.groups.exists()


def test_59_staff_gives_its_group_no_permissions(client: Client, helper: User) -> None:
    """A group is a way to permissions too: only superusers make, change and delete one."""
    group = Group.objects.create(name="helpers")
    helper.groups.add(group)
    everything = [str(pk) for pk in Permission.objects.values_list("pk", flat=True)]
    given = {"name": "helpers", "permissions": everything}
    assert client.get(f"{GROUPS}{group.pk}/change/").status_code == 200
    assert client.post(f"{GROUPS}{group.pk}/change/", given).status_code == 403
    assert client.post(f"{GROUPS}add/", {"name": "new", "permissions": everything}).status_code == 403
    assert client.post(f"{GROUPS}{group.pk}/delete/", {"post": "yes"}).status_code == 403
    assert [(each.name, each.permissions.count()) for each in Group.objects.all()] == [("helpers", 0)]


WAYS: dict[str, Callable[[Client, User], HttpResponse]] = {
    "address": lambda client, user: save(client, user, email="eve@example.com"),
    "name": lambda client, user: save(client, user, username="eve"),
    "language": lambda client, user: save(client, user, language="zh-hant"),
    "switched off": lambda client, user: save(client, user, is_active=""),
    "password": lambda client, user: client.post(f"{ACCOUNTS}{user.pk}/password/", NEW_PASSWORD),
    "no password": lambda client, user: client.post(
        f"{ACCOUNTS}{user.pk}/password/", {"usable_password": "false", "unset-password": "1"}
    ),
    "deleted": lambda client, user: client.post(f"{ACCOUNTS}{user.pk}/delete/", {"post": "yes"}),
    "deleted as one of many": lambda client, user: client.post(
        ACCOUNTS, {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    ),
    "disabled as one of many": lambda client, user: client.post(
        ACCOUNTS, {"action": "disable", "_selected_action": [user.pk], "confirmed": str(user.pk)}
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rank", [{"is_staff": True}, {"is_superuser": True}], ids=["staff", "superuser"])
def test_59_staff_touches_no_other_staff(client: Client, helper: User, way: str, rank: dict[str, bool]) -> None:
    """No field of it, nor its password; it can look."""
    other = make_user(**rank)
    before = columns(other)
    assert client.get(f"{ACCOUNTS}{other.pk}/change/").status_code == 200
    WAYS[way](client, other)
    assert columns(other) == before
    assert not Delivery.objects.exists()


def test_59_staff_brings_no_disabled_staff_back(client: Client, helper: User) -> None:
    """By form or action."""
    other = make_user(is_staff=True, is_active=False)
    save(client, other, is_active="on")
    client.post(ACCOUNTS, {"action": "activate", "_selected_action": [other.pk], "confirmed": str(other.pk)})
    assert not User.objects.get(pk=other.pk).is_active


@pytest.mark.parametrize("way", WAYS)
def test_59_a_superuser_does_all_of_it(client: Client, root: User, way: str) -> None:
    """And staff with the permission does it to ordinary accounts: else the tests above would show nothing."""
    other = make_user(is_staff=True)
    before = columns(other)
    WAYS[way](client, other)
    assert User.objects.filter(pk=other.pk).values().first() != before


@pytest.mark.parametrize("way", ["deleted", "deleted as one of many"])
def test_59_nobody_deletes_their_own_account_in_the_admin(client: Client, root: User, way: str) -> None:
    """The last superuser could: nobody would be left to make another one there. Another operator deletes it."""
    WAYS[way](client, root)
    assert User.objects.filter(pk=root.pk).exists()
    assert "deletelink" not in client.get(f"{ACCOUNTS}{root.pk}/change/").text


@pytest.mark.parametrize("way", WAYS)
def test_59_staff_does_all_of_it_to_ordinary_accounts(client: Client, helper: User, way: str) -> None:
    """It has the permission."""
    alice = make_user()
    before = columns(alice)
    WAYS[way](client, alice)
    assert User.objects.filter(pk=alice.pk).values().first() != before


def active(user: User) -> bool:
    return User.objects.get(pk=user.pk).is_active


def test_60_the_form_activates_no_unproven_account(client: Client, root: User) -> None:
    """Eve begins with Alice's address: no operator, superuser or not, makes an account of it by a tick."""
    alice = make_pending()
    page = save(client, alice, is_active="on", username="eve")
    assert "the email address is not verified" in text_of(page)
    alice.refresh_from_db()
    assert (alice.is_active, alice.is_registered, alice.username) == (False, False, None)


@pytest.mark.parametrize("second", ["form", "action"])
def test_60_saving_first_and_activating_later_activates_no_unproven_account(
    client: Client, root: User, second: str
) -> None:
    """Saved as it is, the account is blocked: a sign-up opens it no more, and an operator neither."""
    alice = make_pending()
    assert save(client, alice, username="eve").status_code == 302
    alice.refresh_from_db()
    assert (alice.is_registered, alice.username) == (True, None)
    if second == "form":
        save(client, alice, is_active="on", username="eve")
    else:
        client.post(ACCOUNTS, {"action": "activate", "_selected_action": [alice.pk], "confirmed": str(alice.pk)})
    assert not active(alice)


def test_60_an_unproven_account_gets_no_password(client: Client, root: User) -> None:
    """And its mailbox no mail about one."""
    alice = make_pending()
    page = client.post(f"{ACCOUNTS}{alice.pk}/password/", NEW_PASSWORD)
    assert "the email address is not verified" in text_of(page)
    assert not User.objects.get(pk=alice.pk).has_usable_password()
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("begun", [True, False])
def test_60_who_may_add_accounts_vouches_for_them(client: Client, helper: User, begun: bool) -> None:
    """Also for an address with which somebody began a sign-up: it is added, disabled and activated again."""
    if begun:
        make_pending()
    fields = {"email": ALICE, "username": "alice", **NEW_PASSWORD}
    assert client.post(f"{ACCOUNTS}add/", fields).status_code == 302
    alice = User.objects.get(email=ALICE)
    assert (alice.is_active, alice.is_registered) == (True, True)
    for tick in ("", "on"):
        save(client, alice, is_active=tick)
        assert active(alice) is bool(tick)


GUESS = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW, "password": NEW}


def test_61_the_admins_password_page_is_the_sites_own(client: Client, helper: User, limited) -> None:
    """Somebody at an open session guesses at the password no more often here than anywhere."""
    answers = [client.post("/admin/password_change/", GUESS, follow=True).redirect_chain for _ in range(7)]
    assert answers == [[("/password-change/", 302)]] * 7
    assert "Current password" in text_of(client.get("/admin/password_change/", follow=True))
    answers = [client.post("/password-change/", GUESS).status_code for _ in range(7)]
    assert answers == [400] * 5 + [429] * 2
    right = {**GUESS, "old_password": PASSWORD}
    client.post("/admin/password_change/", right)
    assert User.objects.get().check_password(PASSWORD)


def test_61_the_admins_sign_in_is_limited(client: Client, limited) -> None:
    """As that of the site, and with it."""
    make_user(is_staff=True)
    given = {"username": "alice", "password": "wrong"}
    answers = [client.post("/admin/login/", given).status_code for _ in range(6)]
    assert answers == [200] * 5 + [429]
    assert client.post("/login/", {**given, "password": PASSWORD}).status_code == 429


@pytest.mark.parametrize("fields", [NEW_PASSWORD, {"usable_password": "false", "unset-password": "1"}])
def test_61_a_password_that_an_operator_sets_is_told_to_the_mailbox(client: Client, root: User, fields: dict) -> None:
    """In the language of the account, whatever the operator speaks; API tokens and sessions end."""
    alice = make_user(language="zh-hant")
    token, browser = tokens.issue(user=alice), signed_in(alice)
    path = f"{ACCOUNTS}{alice.pk}/password/"
    assert client.post(path, fields, headers={"accept-language": "zh-CN"}).status_code == 302
    told = Delivery.objects.get()
    assert (told.kind, told.recipient, told.language) == ("password_changed", ALICE, "zh-hant")
    assert not User.objects.get(email=ALICE).check_password(PASSWORD)
    assert (token_works(token.token), is_in(browser)) == (False, False)


def test_61_the_command_tells_the_mailbox_too(monkeypatch) -> None:
    """API tokens and sessions end."""
    alice = make_user(language="zh-hant")
    token, browser = tokens.issue(user=alice), signed_in(alice)
    monkeypatch.setattr("getpass.getpass", lambda prompt: NEW)
    call_command("changepassword", ALICE)
    told = Delivery.objects.get()
    assert (told.kind, told.recipient, told.language) == ("password_changed", ALICE, "zh-hant")
    assert (token_works(token.token), is_in(browser)) == (False, False)


def signed_in(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def is_in(browser: Client) -> bool:
    return browser.get("/account/").status_code == 200


def token_works(token: str) -> bool:
    return Client().get("/api/users/me/", headers={"authorization": f"Token {token}"}).status_code == 200


def reset_link(user: User) -> str:
    uid, token = urlsafe_base64_encode(force_bytes(user.pk)), passwords.reset_tokens.make_token(user)
    return f"/password-reset/{uid}/{token}/"


def link_works(link: str) -> bool:
    return Client().get(link).status_code == 302


def by_action(client: Client, user: User, active: bool) -> None:
    action = "activate" if active else "disable"
    client.post(ACCOUNTS, {"action": action, "_selected_action": [user.pk], "confirmed": str(user.pk)})


def by_form(client: Client, user: User, active: bool) -> None:
    save(client, User.objects.get(pk=user.pk), is_active="on" if active else "")


def by_save(client: Client, user: User, active: bool) -> None:
    found = User.objects.get(pk=user.pk)
    found.is_active = active
    found.save()


def by_saving_one_column(client: Client, user: User, active: bool) -> None:
    found = User.objects.get(pk=user.pk)
    found.is_active = active
    found.save(update_fields=["is_active"])


def by_update(client: Client, user: User, active: bool) -> None:
    assert User.objects.exclude(is_active=active).filter(pk=user.pk).update(is_active=active) == 1


def by_bulk_update(client: Client, user: User, active: bool) -> None:
    found = User.objects.get(pk=user.pk)
    found.is_active = active
    User.objects.bulk_update([found], ["is_active"])


SWITCHES = [by_action, by_form, by_save, by_saving_one_column, by_update, by_bulk_update]


@pytest.mark.parametrize("switch", SWITCHES)
def test_62_disabling_ends_sessions_tokens_and_reset_links(client: Client, root: User, switch: Callable) -> None:
    """For good: what a thief held does not come back when the account does; the owner signs in anew."""
    alice, bob = make_user(), make_user("bob", BOB)
    browser, others = signed_in(alice), signed_in(bob)
    token, others_token = tokens.issue(user=alice).token, tokens.issue(user=bob).token
    link, others_link = reset_link(alice), reset_link(bob)
    assert (is_in(browser), token_works(token), link_works(link)) == (True, True, True)
    switch(client, alice, False)
    assert not active(alice)
    assert (token_works(token), link_works(link)) == (False, False)
    switch(client, alice, True)
    assert active(alice)
    assert (is_in(browser), token_works(token), link_works(link)) == (False, False, False)
    assert (is_in(others), token_works(others_token), link_works(others_link)) == (True, True, True)
    alice.refresh_from_db()
    anew = signed_in(alice), tokens.issue(user=alice).token, reset_link(alice)
    assert (is_in(anew[0]), token_works(anew[1]), link_works(anew[2])) == (True, True, True)


def test_62_each_disabling_ends_what_began_since_the_last(client: Client, root: User) -> None:
    """Not only the first."""
    alice = make_user()
    for _ in range(2):
        alice.refresh_from_db()
        browser, token = signed_in(alice), tokens.issue(user=alice).token
        for on in (False, True):
            by_action(client, alice, on)
        assert (is_in(browser), token_works(token)) == (False, False)


def test_62_a_disabled_account_is_sent_no_reset_link(root: User) -> None:
    """Also where it was asked for before; and where one got out, nobody sets a password by it."""
    alice = make_user()
    make_delivery(kind="password_reset")
    by_update(Client(), alice, False)
    assert claim_mail().is_for_nobody
    alice.refresh_from_db()
    assert not link_works(reset_link(alice))


def test_62_a_sign_in_under_way_gives_no_token(root: User) -> None:
    """The password was looked at before the account was disabled, and activated again."""
    alice = make_user()
    read_before = User.objects.get(pk=alice.pk)
    for on in (False, True):
        by_update(Client(), alice, on)
    with pytest.raises(AccountChanged):
        tokens.issue(user=read_before)


ADMINS = [model for model in apps.get_models() if admin.site.is_registered(model)]


def lookups(model: type) -> list[str]:
    """Each column of a model, and of the models that it leads to or that lead to it."""
    near = [field.name for field in model._meta.concrete_fields]
    far = [
        f"{field.name}__{column.name}"
        for field in model._meta.get_fields()
        if field.is_relation and field.related_model
        for column in field.related_model._meta.concrete_fields
    ]
    return [*near, *far]


@pytest.mark.parametrize("model", ADMINS, ids=lambda model: model._meta.label_lower)
def test_63_a_list_answers_its_own_filters_alone(client: Client, root: User, model: type) -> None:
    """No column, near or far, is found out letter by letter: neither handle, nonce, lease nor the hash of a password."""
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    assert client.get(path).status_code == 200
    asked = [f"{lookup}{end}" for lookup in lookups(model) for end in ("__startswith", "")]
    answered = [lookup for lookup in asked if client.get(path, {lookup: "a"}).status_code != 400]
    filters = admin.site.get_model_admin(model).list_filter
    assert {*answered} <= {each if isinstance(each, str) else each.parameter_name for each in filters}


def test_63_the_choice_of_an_account_for_another_apps_row_is_limited_as_its_key_says(
    client: Client, root: User, monkeypatch
) -> None:
    """Django's link to the list has the key's `limit_choices_to`, and no other value of it tells anything."""
    monkeypatch.setattr(AuthToken._meta.get_field("user").remote_field, "limit_choices_to", {"is_active": True})
    path = "/admin/signup/user/"
    answers = [
        client.get(path, {"_to_field": "id", **query}).status_code for query in ({"is_active": "1"}, {"is_active": "0"})
    ]
    assert answers == [200, 400]
    assert client.get(path, {"is_active__exact": "1"}).status_code == 400


@pytest.mark.parametrize("model", ADMINS, ids=lambda model: model._meta.label_lower)
def test_63_a_filter_takes_no_text_that_the_database_lacks(client: Client, root: User, model: type) -> None:
    """PostgreSQL has no NUL in a text: the query would fail, as an error of the site."""
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    for each in admin.site.get_model_admin(model).list_filter:
        if isinstance(each, str):
            assert client.get(path, {f"{each}__exact": "\0"}).status_code == 400, each
    assert client.get(path, {"q": "\0"}).status_code == 200


@pytest.mark.parametrize("key", ["worker.delivery.user", "worker.delivery.sign_up", "signup.user.groups"])
def test_63_autocompletion_takes_no_text_that_the_database_lacks(client: Client, root: User, key: str) -> None:
    """Django's page asks each list's search, and checks no form first. Without a database's own rules: no query has it."""
    asked = dict(zip(("app_label", "model_name", "field_name"), key.split("."), strict=True))
    with CaptureQueriesContext(connection) as queries:
        page = client.get("/admin/autocomplete/", {**asked, "term": "forged\0"})
    assert (page.status_code, page.json()["results"]) == (200, [])
    assert "forged" not in str(queries.captured_queries)


def test_63_no_key_in_a_path_to_view_on_site_reaches_the_database(client: Client, root: User) -> None:
    """Django's view looks up the row of any model; a session's key is a text, and PostgreSQL has no NUL in one."""
    sessions = ContentType.objects.get_for_model(Session)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"/admin/r/{sessions.pk}/forged%00/").status_code == 404
    assert "forged" not in str(queries.captured_queries)


@pytest.mark.parametrize("model", ADMINS, ids=lambda model: model._meta.label_lower)
def test_63_a_row_is_named_by_its_number_alone(client: Client, root: User, model: type) -> None:
    """No list or form for a popup tells another column."""
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    for field in model._meta.concrete_fields:
        if not field.primary_key:
            assert client.get(f"{path}?_popup=1&_to_field={field.name}").status_code == 400, field.name
    for page in ("change", "delete"):
        assert client.get(f"{path}-1/{page}/?_to_field=").status_code in (302, 403), page


NO_KEYS = ("x", "9" * 30, "1,2", "\0", "")  # a text is a key of some models, but of no row


@pytest.mark.parametrize("forged", NO_KEYS)
@pytest.mark.parametrize("model", ADMINS, ids=lambda model: model._meta.label_lower)
def test_63_a_row_that_can_not_be_is_not_found(client: Client, root: User, model: type, forged: str) -> None:
    """Whether an action chooses it, a confirmation names it, or an address leads to it: never an error of the site."""
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    for action in re.findall(r'<option value="(\w+)"', client.get(path).text):
        chosen = client.post(path, {"action": action, "_selected_action": [forged]}, follow=True)
        is_text = isinstance(model._meta.pk, CharField) and bool(forged.strip("\0"))
        assert ("Items must be selected" in chosen.text) is not is_text
        confirmed = {"action": action, "_selected_action": [root.pk], "confirmed": forged}
        assert client.post(path, confirmed).status_code in (200, 302), action
    for page in ("change", "delete", "history"):
        assert client.get(f"{path}{quote(forged or '-1')}/{page}/").status_code in (302, 403, 404), page


SECRET = ("handle", "nonce", "key_id", "lease_token", "message_id", "password", "session_salt", "digest", "token_key")


def test_63_no_search_finds_a_row_by_a_secret(client: Client, root: User) -> None:
    """In lists, nor in the choices of a form."""
    alice, sign_up = make_user(), make_captcha()
    delivery = make_delivery(sign_up, user_id=alice.pk)
    Delivery.objects.update(lease_token="f" * 32)
    alice.is_active = False
    alice.save()
    for row in (alice, sign_up, delivery):
        row.refresh_from_db()
        for column in SECRET:
            secret = str(getattr(row, column, ""))[:8]
            for model in ADMINS if secret else ():
                found = client.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/", {"q": secret})
                assert ALICE not in text_of(found), (model, column)
    for field in ("sign_up", "user"):
        names = {"app_label": "worker", "model_name": "delivery", "field_name": field}
        for secret in (sign_up.handle[:8], sign_up.nonce[:8], alice.password[:8]):
            found = client.get("/admin/autocomplete/", {**names, "term": secret})
            assert found.json()["results"] == []


def test_63_no_order_tells_a_secret() -> None:
    """Whatever column a list is asked to be ordered by, it is one that the list shows."""
    for model in ADMINS:
        page = admin.site.get_model_admin(model)
        assert not {*SECRET} & {*page.list_display, *(page.sortable_by or ())}
        assert not page.date_hierarchy


def test_63_sessions_and_tokens_have_no_page() -> None:
    """Nor has any other table of somebody else's."""
    from knox.models import AuthToken

    assert {Session, AuthToken, Permission}.isdisjoint(ADMINS)
