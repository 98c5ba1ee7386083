"""docs/how-to/personal-data.md says which tables hold what belongs to a person, and which still do after a deletion."""

import re
from collections.abc import Callable

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.db.models import Field, Model
from django.test import Client

from core import email_addresses
from core.observability.redaction import pseudonym
from core.storage import MessageStorage
from signup import usernames
from signup.models import User, UsernameField
from signup.retention import purge
from signup.visitor import draft_cookie
from tests.factories import PASSWORD, FrozenClock, wrong
from tests.servers import ROOT
from tests.steps import ask, deliver, verify
from worker import suppression
from worker.models import Delivery, Suppression

PAGE = (ROOT / "docs" / "how-to" / "personal-data.md").read_text()
IN_THE_DATABASE = PAGE.partition("## In the database")[2].partition("\n## ")[0]
# What becomes of each table's rows when the account is deleted, as the page's table has it in its last column.
FATES = {
    table: fate
    for tables, fate in re.findall(r"^\| (`.+?`) \|.*\| ([^|]+) \|$", IN_THE_DATABASE, re.MULTILINE)
    for table in re.findall(r"`(\w+)`", tables)
}

ADDRESS, NAME, NETWORK = "alice+private@example.com", "Privata", "198.51.100.7"


def tables_about(user_id: int) -> set[str]:
    """The tables with a row that refers to the account, or has its names, or the pseudonym of its visitor's network."""
    values = (
        ADDRESS,
        email_addresses.mailbox(ADDRESS),
        NAME.lower(),
        usernames.key(NAME),
        pseudonym("network", NETWORK),
    )
    found = set()
    for model in apps.get_models(include_auto_created=True):
        references = [field.attname for field in model._meta.concrete_fields if field.related_model is User]
        for row in model._base_manager.values():
            session = Session(**row).get_decoded() if model is Session else {}  # it is encoded
            text = str((row, session)).lower()
            assert NETWORK not in text
            refers = user_id in [row[name] for name in references] or session.get("_auth_user_id") == str(user_id)
            if refers or any(value in text for value in values):
                found.add(model._meta.db_table)
    return found


@pytest.fixture
def alice(db, admin: Client) -> Client:
    """The browser of somebody whose data is wherever it may be."""
    browser, stranger = Client(REMOTE_ADDR=NETWORK), Client(REMOTE_ADDR=NETWORK)
    sign_up = ask(browser, ADDRESS)
    deliver()
    verify(browser, sign_up, captcha=wrong(sign_up))
    assert verify(browser, sign_up, username=NAME).status_code == 303
    ask(stranger, ADDRESS)  # a decoy
    stranger.post("/password-reset/", {"email": ADDRESS})
    deliver()
    browser.post("/password-change/", {"old_password": PASSWORD, "password": PASSWORD})
    Client().post("/login/", {"username": NAME, "password": PASSWORD})  # another browser
    token_of_app()
    suppression.suppress(address=ADDRESS, reason=Suppression.Reason.BOUNCED)
    operator = User.objects.get(is_staff=True)
    LogEntry.objects.log_actions(operator.pk, User.objects.filter(email=ADDRESS), CHANGE, "what they did")
    return browser


def token_of_app() -> str:
    signed_in = Client().post("/api/login/", {"username": NAME, "password": PASSWORD}, content_type="application/json")
    return str(signed_in.json()["token"])


def by_page(alice: Client, admin: Client) -> None:
    alice.post("/account/delete/", {"old_password": PASSWORD})


def by_api(alice: Client, admin: Client) -> None:
    app = Client(headers={"Authorization": f"Token {token_of_app()}"})
    app.delete("/api/users/me/", {"password": PASSWORD}, content_type="application/json")


def by_operator(alice: Client, admin: Client) -> None:
    admin.post(f"/admin/signup/user/{User.objects.get(email=ADDRESS).pk}/delete/", {"post": "yes"})


def may_hold(field: Field) -> bool:
    """Whether a column may have an address, a username or a network's pseudonym, or refers to an account."""
    is_name = isinstance(field, UsernameField) or field.max_length == email_addresses.MAX_LENGTH
    return is_name or field.related_model is User or field.name == "network"


def test_the_page_names_each_table_that_may_hold_personal_data() -> None:
    """Found by the columns of the models; and no table that is gone."""
    models: list[type[Model]] = apps.get_models(include_auto_created=True)
    holding = {each._meta.db_table for each in models if any(map(may_hold, each._meta.concrete_fields))}
    assert len(holding) > 6
    assert holding - set(FATES) == set()
    assert set(FATES) - {each._meta.db_table for each in models} == set()


def test_the_page_names_each_cookie_and_setting() -> None:
    """Of what it says about lifetimes."""
    settings_of_cookies = [name for name in dir(settings) if name.endswith("_COOKIE_NAME")]
    cookies = {getattr(settings, name) for name in settings_of_cookies} | {MessageStorage.cookie_name}
    assert draft_cookie("/signup/").name.startswith("doorcode_draft-")
    named = {*re.findall(r"^\| `(.+?)`", PAGE.partition("## Cookies")[2], re.MULTILINE)}
    assert named == cookies | {"doorcode_draft-…"}
    assert [name for name in dir(settings) if name.startswith("PURGE_") and f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("delete", [by_page, by_api, by_operator])
def test_a_deletion_leaves_what_the_page_says(
    alice: Client, admin: Client, frozen_clock: FrozenClock, delete: Callable[[Client, Client], None]
) -> None:
    """And the purge deletes that in time, but for the admin's log."""
    pk = User.objects.get(email=ADDRESS).pk
    of_staff = {User.groups.through._meta.db_table, User.user_permissions.through._meta.db_table}
    assert tables_about(pk) == set(FATES) - of_staff
    assert {*Delivery.objects.values_list("kind", flat=True)} == {*Delivery.Kind}
    delete(alice, admin)
    assert tables_about(pk) == {table for table, fate in FATES.items() if not fate.startswith("goes")}
    assert {mail.is_about_account for mail in Delivery.objects.all()} == {False}
    Delivery.objects.update(state="sent")  # one waited for the limit of its mailbox
    frozen_clock.move(days=100)
    list(purge())
    assert tables_about(pk) == {"django_admin_log"}


def test_the_commands_of_the_page_leave_nothing(alice: Client, admin: Client) -> None:
    """But the numbers of the account in sessions, which name nobody any more."""
    pk = User.objects.get(email=ADDRESS).pk
    by_operator(alice, admin)
    how = PAGE.partition("## Delete somebody")[2].replace("alice@example.com", ADDRESS).replace("'alice'", f"'{NAME}'")
    [command] = re.findall(r"manage\.py (unlock \S+ --unmute)", how)
    call_command(*command.split())
    statements = re.findall("^DELETE .*;", how, re.MULTILINE)
    assert len(statements) == 3
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    assert tables_about(pk) == {"django_session"}
