"""What people type is read alike at every door: pages, API, admin, commands."""

import json
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from signup.models import User
from tests.factories import ALICE, PASSWORD, make_captcha, make_user, right, text_of
from tests.visits import ask, verify

pytestmark = pytest.mark.django_db

Door = Callable[[str], str]  # takes a username, and returns the refusal


def page(username: str) -> str:
    visitor = Client()
    answer = verify(visitor, ask(visitor), username=username)
    return "" if answer.status_code == 303 else text_of(answer)


def api(username: str) -> str:
    sign_up = make_captcha()
    fields = {"id": sign_up.handle, "email": ALICE, "captcha": right(sign_up), "password": PASSWORD}
    answer = Client().post("/api/users/", fields | {"username": username}, content_type="application/json")
    return "" if answer.status_code == 201 else json.dumps(answer.json(), ensure_ascii=False)


def add_form(username: str) -> str:
    operator = Client()
    operator.force_login(make_user("root", "root@example.com", is_staff=True, is_superuser=True))
    fields = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    answer = operator.post("/admin/signup/user/add/", fields | {"email": ALICE, "username": username})
    return "" if answer.status_code == 302 else text_of(answer)


def change_form(username: str) -> str:
    operator, user = Client(), make_user("someone")
    operator.force_login(make_user("root", "root@example.com", is_staff=True, is_superuser=True))
    fields = {"email": ALICE, "username": username, "language": "", "is_active": "on"}
    answer = operator.post(f"/admin/signup/user/{user.pk}/change/", fields)
    return "" if answer.status_code == 302 else text_of(answer)


def createsuperuser(username: str) -> str:
    try:
        call_command("createsuperuser", "--noinput", email=ALICE, username=username, stdout=StringIO())
    except CommandError as error:
        return str(error)
    return ""


VISITORS: list[Door] = [page, api]
OPERATORS: list[Door] = [add_form, change_form, createsuperuser]


@pytest.mark.parametrize("door", VISITORS + OPERATORS)
@pytest.mark.parametrize("name", ["佐々木", "小明Tom", "민수kim", "สวัสดี", "हिन्दी"])
def test_names_of_the_world_are_accepted(door: Door, name: str) -> None:
    """And shown as they were typed."""
    assert door(name) == ""
    assert User.objects.get(email=ALICE).username == name


@pytest.mark.parametrize("door", VISITORS + OPERATORS)
@pytest.mark.parametrize("name", ["관리자\u1160", "\u3164\u3164", "user١", "аdmin"])
def test_misleading_names_are_refused(door: Door, name: str) -> None:
    """Invisible, or mixed."""
    assert "in the username" in door(name)


@pytest.mark.parametrize("door", VISITORS + OPERATORS)
@pytest.mark.parametrize(("taken", "name"), [("charlie", "charl\u0131e"), ("marina", "rnarina"), ("scope", "ѕсоре")])
def test_a_name_that_looks_like_another_is_taken(door: Door, taken: str, name: str) -> None:
    """Nobody passes for somebody else."""
    make_user(taken, "owner@example.com")
    assert "That username is taken" in door(name)


@pytest.mark.parametrize("name", ["Admin", "r00t", "管理员", "客服", "校长"])
@pytest.mark.parametrize("door", VISITORS)
def test_visitors_get_no_reserved_name(settings, door: Door, name: str) -> None:
    """It is taken, as if an account had it."""
    settings.RESERVED_USERNAMES = ["校长"]
    assert "That username is taken" in door(name)
    assert not User.objects.filter(is_active=True).exists()


@pytest.mark.parametrize("name", ["Admin", "管理员", "客服"])
@pytest.mark.parametrize("door", OPERATORS)
def test_operators_give_reserved_names(door: Door, name: str) -> None:
    """The names are kept for them."""
    assert door(name) == ""
    assert User.objects.get(email=ALICE).username == name


def test_the_admin_finds_an_account_by_the_look_of_its_name(admin: Client) -> None:
    """And by the beginning of its address as it is."""
    make_user("mailin", "mirai@example.com")
    for query in ("mail", "rnaiI", "Mirai@", "mirai@example.com"):
        assert "mirai@example.com" in text_of(admin.get("/admin/signup/user/", {"q": query}))


def test_sign_in_takes_any_name_with_the_same_look(client: Client) -> None:
    """Who types an I for an l is the same person; the name is shown as its owner chose it."""
    make_user("İbrahim")
    assert client.post("/login/", {"username": "ibrahim", "password": PASSWORD}).status_code == 302
