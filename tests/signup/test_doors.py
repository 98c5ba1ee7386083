"""Input is read alike wherever people type it: pages, API, admin, commands."""

import json
import unicodedata
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.http import urlsafe_base64_encode

from core.passwords import reset_tokens
from signup.models import User
from tests.factories import ALICE, PASSWORD, make_captcha, make_user, right, text_of
from tests.steps import ask, verify
from worker import messages
from worker.models import Delivery

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
    """Somebody who types an I for an l is the same person; the name is shown as its owner chose it."""
    make_user("İbrahim")
    assert client.post("/login/", {"username": "ibrahim", "password": PASSWORD}).status_code == 302


COMPOSED = "pässwört größe"
PARTS = unicodedata.normalize("NFD", COMPOSED)


def chosen_at_sign_up(password: str) -> None:
    visitor = Client()
    assert verify(visitor, ask(visitor), password=password).status_code == 303


def chosen_over_the_api(password: str) -> None:
    sign_up = make_captcha()
    fields = {"id": sign_up.handle, "email": ALICE, "captcha": right(sign_up), "username": "alice"}
    assert (
        Client().post("/api/users/", fields | {"password": password}, content_type="application/json").status_code
        == 201
    )


def chosen_at_a_change(password: str) -> None:
    owner = Client()
    owner.force_login(make_user())
    assert owner.post("/password-change/", {"old_password": PASSWORD, "password": password}).status_code == 302


def chosen_after_a_reset(password: str) -> None:
    user, owner = make_user(), Client()
    uid, token = urlsafe_base64_encode(str(user.pk).encode()), reset_tokens.make_token(user)
    form = owner.get(f"/password-reset/{uid}/{token}/").headers["Location"]
    assert owner.post(form, {"password": password}).status_code == 302


def chosen_by_an_operator(password: str) -> None:
    operator = Client()
    operator.force_login(make_user("root", "root@example.com", is_staff=True, is_superuser=True))
    fields = {"usable_password": "true", "password1": password, "password2": password}
    added = operator.post("/admin/signup/user/add/", fields | {"email": ALICE, "username": "alice"})
    assert added.status_code == 302


def changed_by_an_operator(password: str) -> None:
    operator, user = Client(), make_user()
    operator.force_login(make_user("root", "root@example.com", is_staff=True, is_superuser=True))
    fields = {"usable_password": "true", "password1": password, "password2": password}
    assert operator.post(f"/admin/signup/user/{user.pk}/password/", fields).status_code == 302


def given_to_createsuperuser(password: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
        call_command("createsuperuser", "--noinput", email=ALICE, username="alice", stdout=StringIO())


def opens_the_page(password: str) -> bool:
    return Client().post("/login/", {"username": "alice", "password": password}).status_code == 302


def opens_the_api(password: str) -> bool:
    fields = {"username": ALICE, "password": password}
    return Client().post("/api/login/", fields, content_type="application/json").status_code == 200


def opens_the_admin(password: str) -> bool:
    User.objects.filter(email=ALICE).update(is_staff=True)
    fields = {"username": "alice", "password": password, "next": "/admin/"}
    return Client().post("/admin/login/", fields).status_code == 302


def is_the_current_one(password: str) -> bool:
    owner = Client()
    owner.force_login(User.objects.get(email=ALICE))
    form = owner.post("/password-change/", {"old_password": password, "password": "short"}).context["form"]
    return "old_password" not in form.errors


@pytest.mark.parametrize(
    "choose",
    [chosen_at_sign_up, chosen_over_the_api, chosen_at_a_change, chosen_after_a_reset, chosen_by_an_operator,
     changed_by_an_operator, given_to_createsuperuser],
)  # fmt: skip
@pytest.mark.parametrize(("first", "later"), [(COMPOSED, PARTS), (PARTS, COMPOSED)], ids=["composed", "in parts"])
def test_a_password_opens_from_every_keyboard(settings, monkeypatch, choose, first: str, later: str) -> None:
    """A phone writes ä as one character, another system as a and two dots: one password, wherever it is typed."""
    settings.PASSWORD_HASHERS = ["core.passwords.Argon2idHasher"]
    monkeypatch.setattr("core.passwords.Argon2idHasher.time_cost", 1)
    monkeypatch.setattr("core.passwords.Argon2idHasher.memory_cost", 8)
    choose(first)
    for check in (opens_the_page, opens_the_api, opens_the_admin, is_the_current_one):
        assert not check(COMPOSED.upper()), check
        assert check(later), check


COPIED = [
    "\ufeffalice@example.com",
    "Alice@Example.com,",
    "alice@example.com。",
    "爱丽丝 <alice@example.com>",
    "mailto:alice@example.com",
]


@pytest.mark.parametrize("typed", COPIED)
def test_an_address_is_read_as_it_was_copied(typed: str, capsys) -> None:
    """Each door takes off what came with it."""
    visitor, app = Client(), Client()
    assert visitor.post("/signup/", {"email": typed}).status_code == 303
    assert visitor.post("/signup/change/", {"new_email": typed}).status_code == 303
    assert app.post("/api/captchas/", {"email": typed}, content_type="application/json").status_code == 202
    assert User.objects.get().email == ALICE
    sign_up = make_captcha()
    fields = {
        "id": sign_up.handle,
        "email": typed,
        "captcha": right(sign_up),
        "username": "alice",
        "password": PASSWORD,
    }
    assert app.post("/api/users/", fields, content_type="application/json").json()["email"] == ALICE
    assert Client().post("/login/", {"username": typed, "password": PASSWORD}).status_code == 302
    fields = {"username": typed, "password": PASSWORD}
    assert app.post("/api/login/", fields, content_type="application/json").status_code == 200
    assert Client().post("/password-reset/", {"email": typed}).status_code == 302
    assert set(Delivery.objects.values_list("recipient", flat=True)) == {ALICE}
    call_command("unlock", typed, "--json")
    assert json.loads(capsys.readouterr().out)["address"] == ALICE


@pytest.mark.parametrize("typed", COPIED)
def test_an_address_is_read_as_an_operator_copied_it(typed: str, admin: Client) -> None:
    """The admin's forms and its search, and createsuperuser."""
    fields = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    added = admin.post("/admin/signup/user/add/", fields | {"email": typed, "username": "alice"})
    assert (added.status_code, User.objects.filter(email=ALICE).count()) == (302, 1)
    user = User.objects.get(email=ALICE)
    User.objects.filter(pk=user.pk).update(email="other@example.com")
    fields = {"email": typed, "username": "alice", "language": "", "is_active": "on"}
    assert admin.post(f"/admin/signup/user/{user.pk}/change/", fields).status_code == 302
    assert User.objects.get(pk=user.pk).email == ALICE
    found = admin.get("/admin/signup/user/", {"q": typed}).context["cl"].result_list
    assert [each.pk for each in found] == [user.pk]
    with pytest.raises(CommandError, match="already taken"):
        call_command("createsuperuser", "--noinput", email=typed, username="bob", stdout=StringIO())
    user.delete()
    call_command("createsuperuser", "--noinput", email=typed, username="bob", stdout=StringIO())
    assert User.objects.get(username="bob").email == ALICE


def test_a_password_can_be_changed_where_the_address_is_no_longer_allowed(settings) -> None:
    """People at such an address sign in by their username alone."""
    settings.EMAIL_ALLOW_SPECIAL_DOMAINS = True
    make_user("ann", "ann@corp.local")
    settings.EMAIL_ALLOW_SPECIAL_DOMAINS = False
    client = Client()
    assert client.post("/login/", {"username": "ann", "password": PASSWORD}).status_code == 302
    changes = {"old_password": PASSWORD, "password": "another horse c"}
    assert client.post("/password-change/", changes).status_code == 302


@pytest.mark.parametrize("typed", ["ann@corp.local", "a..b@docomo.ne.jp", "a.@docomo.ne.jp"])
def test_a_site_may_allow_addresses_that_no_rfc_allows(settings, typed: str, admin: Client) -> None:
    """At each door, and the mail goes to them as they are; by default they are refused."""
    fields = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert Client().post("/signup/", {"email": typed}).status_code == 400
    assert admin.post("/admin/signup/user/add/", fields | {"email": typed, "username": "ann"}).status_code == 200
    settings.EMAIL_ALLOW_SPECIAL_DOMAINS = settings.EMAIL_ALLOW_LOOSE_DOTS = True
    sign_up = ask(Client(), typed)
    assert messages.build(Delivery.objects.get()).message()["To"] == sign_up.address == typed
    assert Client().post("/api/captchas/", {"email": typed}, content_type="application/json").status_code == 202
    assert admin.post("/admin/signup/user/add/", fields | {"email": typed, "username": "ann"}).status_code == 302
    changes = {"email": typed, "username": "ann", "language": "zh-hans", "is_active": "on"}
    assert admin.post(f"/admin/signup/user/{User.objects.get(email=typed).pk}/change/", changes).status_code == 302
    assert Client().post("/login/", {"username": typed.upper(), "password": PASSWORD}).status_code == 302
    User.objects.filter(email=typed).delete()
    call_command("createsuperuser", "--noinput", email=typed, username="ann", stdout=StringIO())
