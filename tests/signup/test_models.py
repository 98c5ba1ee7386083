"""The definitions that exist as a query and as a property."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from knox.models import AuthToken

from core import clock
from signup.models import User
from signup.services import is_username_free
from tests.factories import ALICE, BOB, PASSWORD, make_delivery, make_user
from worker.models import Delivery

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("activated", "active", "staff", "superuser", "named"),
    list(product([False, True], repeat=5)),
    ids=lambda value: f"{value:d}",
)
def test_queries_and_properties_agree(activated: bool, active: bool, staff: bool, superuser: bool, named: bool) -> None:
    """Pending, proven and changeable accounts, for any row."""
    user = User.objects.create(
        email=ALICE,
        username="alice" if named else None,
        activated_at=clock.now() if activated else None,
        is_active=active,
        is_staff=staff,
        is_superuser=superuser,
    )
    assert User.objects.registered().exists() == user.is_registered
    assert User.objects.pending().exists() != user.is_registered
    assert User.objects.proven().exists() == user.is_proven
    for operator in (User(), User(is_superuser=True)):
        assert User.objects.changeable_by(operator).exists() == user.is_changeable_by(operator)


@pytest.mark.parametrize(
    ("email", "username"),
    [(BOB.upper(), "bobby"), ("bobby@example.com", "BOB"), ("bob", "bobby"), (None, "bobby"), ("bob@example.org", "")],
)
def test_an_account_that_code_cannot_make_is_a_failed_validation(email: str | None, username: str) -> None:
    """Its address or username is taken, or none; the transaction around it goes on."""
    User.objects.create_user(email=BOB, username="bob")
    with pytest.raises(ValidationError):
        User.objects.create_user(email=email, username=username, password="correct horse battery")
    assert User.objects.count() == 1


def test_accounts_are_made_as_djangos_own() -> None:
    """By place too, and for a superuser with what `create_superuser` sets anyway."""
    bob = User.objects.create_user("bob", BOB, "correct horse battery")
    assert (bob.username, bob.email, bob.check_password("correct horse battery")) == ("bob", BOB, True)
    alice = User.objects.create_superuser("alice", ALICE, "correct horse battery", is_staff=True)
    assert (alice.username, alice.is_staff, alice.is_superuser) == ("alice", True, True)


def test_the_superuser_of_pytest_django_opens_the_admin(admin_client: Client) -> None:
    """It is made without a username, which is then taken from its address."""
    assert admin_client.get("/admin/").status_code == 200
    assert User.objects.get().username == "admin"


@pytest.mark.parametrize("only", [None, ["username"]], ids=["all", "named"])
def test_a_name_that_another_app_gives_signs_in_and_is_taken(only: list[str] | None) -> None:
    """By `save`, as any Django model; the former name is free."""
    bob = User.objects.create_user(email=BOB, username="bob")
    bob.username = "Róbert"
    bob.save(update_fields=only)
    assert User.objects.get_by_natural_key("róbert") == bob
    assert not is_username_free(username="RÓBERT", address=ALICE)
    assert is_username_free(username="bob", address=ALICE)
    with pytest.raises(IntegrityError):
        User.objects.create(email=ALICE, username="róbert")


@pytest.mark.parametrize(
    ("username", "error"),
    [("Bob", "username_taken"), ("вob", "characters"), ("rnike", "username_taken"), ("a.b+c", "characters")],
)
def test_a_form_of_another_app_refuses_a_username_as_ours_do(username: str, error: str) -> None:
    """Django's own, with the model, as its docs show. An account may keep its own name."""
    bob = User.objects.create_user(email=BOB, username="bob")
    User.objects.create_user(email="mike@example.com", username="mike")

    class Form(BaseUserCreationForm):
        class Meta(BaseUserCreationForm.Meta):
            model = User
            fields = ("username", "email")

    passwords = {"password1": PASSWORD, "password2": PASSWORD}
    form = Form({"username": username, "email": ALICE, **passwords})
    assert form.errors.as_data().keys() == {"username"}
    assert [each.code for each in form.errors.as_data()["username"]] == [error]
    bob.full_clean()
    assert Form({"username": "alice", "email": ALICE, **passwords}).is_valid()


def test_accounts_that_another_app_makes_at_once_sign_in_and_are_taken() -> None:
    """By `bulk_create`, as an import or a factory does, which calls no `save`."""
    [bob] = User.objects.bulk_create([User(email="Bob＠Example.COM", username="Róbert", is_active=True)])
    assert (bob.email, User.objects.get().email) == (BOB, BOB)
    assert User.objects.get_by_natural_key("róbert") == User.objects.get_by_natural_key(BOB) == bob
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.bulk_create([User(email=ALICE, username="RÓBERT")])


@pytest.mark.parametrize("only", [None, ["email"]], ids=["all", "named"])
def test_an_address_that_another_app_gives_signs_in_and_is_taken(only: list[str] | None) -> None:
    """By `save`, however it is written; one that the settings no longer allow stays as it is."""
    bob = User.objects.create(email="Bob＠Example.COM", username="bob", is_active=True)
    assert bob.email == BOB
    bob.email = "Róbert <ALICE@例子.测试>"
    bob.save(update_fields=only)
    assert User.objects.get_by_natural_key("alice@例子.测试") == bob
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email="alice@xn--fsqu00a.xn--0zwm56d", username="alice")
    bob.email = "bob..bob@example.com"
    bob.save(update_fields=only)
    assert User.objects.get().email == "bob..bob@example.com"


def test_a_better_hash_of_an_old_password_replaces_no_new_one(settings) -> None:
    """Its owner set that one while the old one was checked; two sign-ins at once with a right one both pass."""
    settings.PASSWORD_HASHERS = [*settings.PASSWORD_HASHERS, "django.contrib.auth.hashers.ScryptPasswordHasher"]
    user = make_user()
    User.objects.update(password=make_password("old horse b", hasher="scrypt"))
    first, second, late = (User.objects.get(pk=user.pk) for _ in range(3))
    assert first.check_password("old horse b")
    assert second.check_password("old horse b")
    assert first.password == second.password == User.objects.get().password
    User.objects.update(password=make_password("another horse c"))
    assert not late.check_password("old horse b")
    assert User.objects.get().check_password("another horse c")


def test_a_password_that_async_code_checks_is_checked_alike(monkeypatch) -> None:
    """Django has a check of its own for this, by which a better hash would replace a new password."""
    monkeypatch.setattr(User, "check_password", lambda self, password: password == PASSWORD)
    with ThreadPoolExecutor() as pool:  # Playwright's event loop may run in this thread
        assert pool.submit(asyncio.run, User().acheck_password(PASSWORD)).result()


def test_what_ends_the_access_of_one_account_leaves_others_theirs() -> None:
    """A new password, disabling, by a form or a list's action, and deleting: sessions, tokens and reset mails."""
    alice, bob = make_user(), make_user("bob", BOB)
    AuthToken.objects.create(bob)
    make_delivery(kind=Delivery.Kind.PASSWORD_RESET, recipient=BOB)
    session = bob.get_session_auth_hash()
    alice.set_password("another horse b")
    alice.save()
    alice.is_active = False
    alice.save()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    alice.delete()
    bob.refresh_from_db()
    assert bob.get_session_auth_hash() == session
    assert AuthToken.objects.get().user == bob
    assert Delivery.objects.get().recipient == BOB
