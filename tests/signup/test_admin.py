"""The admin's lists and forms."""

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from io import StringIO

import pytest
from django.conf import settings
from django.contrib.admin import DateFieldListFilter, site
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Model
from django.db.models.functions import Now
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from knox.models import AuthToken

from core import clock
from signup import usernames
from signup.admin import base
from signup.models import User
from signup.signals import user_activated
from tests.factories import (
    ALICE,
    BOB,
    PASSWORD,
    FrozenClock,
    make_captcha,
    make_delivery,
    make_muted,
    make_pending,
    make_user,
    right,
    text_of,
    wrong,
)
from tests.steps import ask, verify
from verification import codes, services
from verification.models import CaptchaModel
from verification.states import CodeMismatch
from worker.models import Delivery, Suppression

pytestmark = pytest.mark.django_db

MAILS, SIGNUPS, ACCOUNTS = "/admin/worker/delivery/", "/admin/verification/captchamodel/", "/admin/signup/user/"
LISTS = (
    MAILS,
    SIGNUPS,
    ACCOUNTS,
    "/admin/worker/suppression/",
    "/admin/verification/addressguesses/",
    "/admin/auth/group/",
)


def shown(admin: Client, path: str) -> str:
    """The rows of a list, without its filters."""
    page = text_of(admin.get(path))
    return page.partition('<table id="result_list">')[2].partition("</table>")[0]


@pytest.mark.parametrize("length", [4, 8])
def test_no_page_shows_a_secret(admin: Client, settings, length: int) -> None:
    """Neither code, nonce, handle, proof, key nor lease: in lists, forms, searches and the dashboard."""
    settings.CAPTCHA_LENGTH = length
    sign_up = make_captcha()
    with pytest.raises(CodeMismatch):
        services.prove(sign_up=sign_up, address=ALICE, code=wrong(sign_up))
    delivery = make_delivery(sign_up, network="n")
    Delivery.objects.update(lease_token="f" * 32, state="sending")
    paths = [*LISTS, "/admin/", "/admin/dashboard/", f"{MAILS}?q={ALICE}", f"{SIGNUPS}?q={ALICE}"]
    paths += [f"{MAILS}{delivery.pk}/change/", f"{SIGNUPS}{sign_up.pk}/change/"]
    paths += [f"/admin/verification/addressguesses/{quote(ALICE)}/change/"]
    secrets = (sign_up.nonce, sign_up.handle, sign_up.key_id, codes.proof_of(sign_up) or "", "f" * 32)
    code = re.compile(rf"(?<![\d.#]){right(sign_up)}(?![\d.])")
    for path in paths:
        page = admin.get(path)
        assert page.status_code == 200, path
        text = text_of(page)
        assert [secret for secret in secrets if secret in text] == [], path
        assert not code.search(re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)), path


@pytest.mark.parametrize("path", LISTS[:5])
@pytest.mark.parametrize("language", ["zh-CN", "zh-TW"])
def test_every_label_is_translated(admin: Client, path: str, language: str) -> None:
    """Columns, filters, actions and states of a list; a mail server's own words, the names of languages and standards aside."""
    make_delivery(make_captcha(), language="zh-hans"), make_muted()
    with pytest.raises(CodeMismatch):
        services.prove(sign_up=(sign_up := make_captcha(BOB)), address=BOB, code=wrong(sign_up))
    page = text_of(admin.get(f"{path}?since=all", headers={"accept-language": language}))
    body = page.partition('<main id="content-start" class="content" tabindex="-1">')[2].partition("</main>")[0]
    words = re.sub(r"<(script|svg|template).*?</\1>|<[^>]*>", " ", body, flags=re.DOTALL)
    strange = set(re.findall(r"[A-Za-z]{3,}", re.sub(r"[\w.]+@[\w.]+|#\d+|\b[A-Z]{4}\b", "", words)))
    named = set(re.findall(r"[A-Za-z]{3,}", " ".join(dict(settings.LANGUAGES).values())))
    of_django = {"Select", "option"}  # "- Select an option -", which 6.1 has in English alone
    standards = {"UTC", "SPF", "DMARC", "DNS"}
    assert strange - named - of_django - standards - {"root", "example", "com", "hans", "hant"} == set()


@pytest.mark.parametrize("language", ["zh-CN", "zh-TW"])
@pytest.mark.parametrize("page", ["add", "{}/password"])
def test_the_forms_of_an_account_have_no_english(admin: Client, page: str, language: str) -> None:
    """Not even where Django's own texts have, in its catalogue or outside of it."""
    text = text_of(
        admin.get(f"/admin/signup/user/{page.format(make_user().pk)}/", headers={"accept-language": language})
    )
    words = re.sub(r"<(script|style|svg|template).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
    assert re.findall(r"[A-Za-z’]+(?: [A-Za-z’]+){2,}", words.replace("Português (Brasil)", "")) == []


@pytest.mark.parametrize("language", ["zh-CN", "zh-TW"])
def test_the_scripts_of_the_admin_have_no_english(admin: Client, language: str) -> None:
    """Above all the choice of groups and permissions; Django 5.2 lacks half of its texts for simplified Chinese."""
    page = admin.get("/admin/jsi18n/", headers={"accept-language": language})
    catalog = json.loads(re.search(r"const newcatalog = (\{.*?\});?\n", page.text, re.DOTALL)[1])
    assert "Choose all %s" in catalog
    assert [text for text in catalog if catalog[text] == text] == []


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"state": "sent", "last_reply": "250 OK", "sent_at": Now()}, ("sent", "accepted", "250 OK")),
        (
            {"state": "failed", "last_reply": "550 5.1.1 no such user"},
            ("failed", "refused by the mail server", "no such"),
        ),
        ({"last_reply": "451 later", "attempts": 3}, ("pending", "deferred by the mail server", ">3<")),
        (
            {"last_reply": "554 DT:SPM", "state": "failed", "cause": "content"},
            ("failed", "refused by the mail server", "us: the content of the mail · 554 DT:SPM"),
        ),
        ({"next_attempt_at": Now() + timedelta(hours=1)}, ("pending", "waits for the mail limit")),
        (
            {"state": "bounced", "last_reply": "550 5.1.1 no such user", "cause": "mailbox"},
            ('class="state bounced">bounced<', "the mailbox: unknown, disabled or full · 550 5.1.1 no such user"),
        ),
        ({"state": "complained", "last_reply": "abuse"}, ('class="state complained">reported as spam<', "abuse")),
        ({"state": "expired", "last_reply": "suppressed"}, ("expired", "not sent: the address is suppressed")),
    ],
)
def test_the_mail_log_shows_the_state_and_the_reason_of_a_mail(
    admin: Client, columns: dict, words: tuple[str, ...]
) -> None:
    """State, reason, reply, attempts."""
    Delivery.objects.filter(pk=make_delivery().pk).update(**columns)
    rows = shown(admin, MAILS)
    assert [word for word in words if word not in rows] == []


@pytest.mark.parametrize(
    "query",
    [
        "state__exact=failed",
        "kind__exact=registered",
        "language=zh-hans",
        "reason=refused",
        "cause__exact=content",
        "since=1h",
    ],
)
def test_the_mail_log_is_filtered(admin: Client, query: str) -> None:
    """By state, kind, language, reason, cause and time."""
    fields = {"kind": "registered", "language": "zh-hans", "recipient": BOB}
    chosen = make_delivery(**fields)
    Delivery.objects.filter(pk=chosen.pk).update(state="failed", last_reply="554 DT:SPM", cause="content")
    other = make_delivery()
    Delivery.objects.filter(pk=other.pk).update(created_at=clock.now() - timedelta(hours=2))
    rows = shown(admin, f"{MAILS}?{query}")
    assert (BOB in rows, ALICE in rows) == (True, False)


def test_a_list_opens_on_the_last_day_and_a_search_on_all(admin: Client) -> None:
    """A filter has few rows to look through, but a search covers everything that is kept."""
    make_delivery(), make_captcha()
    old = clock.now() - timedelta(hours=25)
    Delivery.objects.update(created_at=old), CaptchaModel.objects.update(created_at=old)
    for path in (MAILS, SIGNUPS):
        assert ALICE not in shown(admin, path)
        assert ALICE in shown(admin, f"{path}?since=all")
        assert ALICE in shown(admin, f"{path}?q={ALICE}")


@pytest.mark.parametrize(
    "query",
    [
        *("alice@example.com", "Alice@Example.COM", "alice", "%23{pk}", "{reference}", "alice {low}"),
        *("alice@\u200bexample.com", "\u2060ali", "%23{pk}\ufeff", "{reference}\u200b"),
    ],
)
def test_mails_and_requests_are_found(admin: Client, query: str) -> None:
    """By an address or its beginning, a number, and the reference that a visitor reads out; also as they are pasted."""
    make_delivery(make_captcha(BOB), recipient=BOB)
    sign_up = make_captcha()
    delivery = make_delivery(sign_up)
    reference = codes.reference_of(sign_up)
    for path, pk in ((MAILS, delivery.pk), (SIGNUPS, sign_up.pk)):
        rows = shown(admin, f"{path}?q=" + query.format(pk=pk, reference=reference, low=reference.lower()))
        assert (ALICE in rows, BOB in rows) == (True, False)
        assert reference in rows


def test_a_search_for_nonsense_finds_nothing(admin: Client) -> None:
    """And does not fail."""
    make_delivery(make_captcha())
    for path in LISTS[:5]:
        for query in ("%23" + "9" * 30, "²", "%25", "_lice", "lice", "a%20b%20c", "@", "a%20" * 1_000):
            page = admin.get(f"{path}?q={query}")
            assert page.status_code == 200, query
            assert ALICE not in text_of(page)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "open"),
        ({"expires_at": None}, "waits for its mail"),
        ({"expires_at": Now() - timedelta(hours=1)}, "expired"),
        ({"attempts": 5}, "tries used up"),
        ({"proven_at": Now()}, "verified, no account yet"),
        ({"proven_at": Now(), "redeemed_at": Now()}, "account created"),
        ({"redeemed_at": Now()}, "disowned by the owner"),
        ({"created_at": Now() - timedelta(days=2)}, "too old"),
    ],
)
def test_a_request_says_its_state_in_words(admin: Client, columns: dict, words: str) -> None:
    """And the number of wrong tries; the filter of that name finds it."""
    CaptchaModel.objects.filter(pk=make_captcha().pk).update(**columns)
    page = text_of(admin.get(f"{SIGNUPS}?since=all"))
    assert words in page.partition('<table id="result_list">')[2].partition("</table>")[0]
    assert f"{columns.get('attempts', 0)} of 5" in page
    wanted = re.search(rf"outcome=(\w+)[^>]*>\s*{words}", page)
    assert (wanted is None) == (words == "too old")
    if wanted:
        assert ALICE in shown(admin, f"{SIGNUPS}?outcome={wanted[1]}")


def test_a_list_counts_no_further_than_it_shows(admin: Client, monkeypatch) -> None:
    """It says so, and the last page is there."""
    monkeypatch.setattr(base, "MAX_ROWS", 60)
    Delivery.objects.bulk_create(
        [
            Delivery(recipient=f"p{n}@example.com", created_at=clock.now(), next_attempt_at=clock.now())
            for n in range(80)
        ]
    )
    page = text_of(admin.get(MAILS))
    assert "The first 60; narrow them by filters or search" in page
    assert shown(admin, f"{MAILS}?p=2").count('class="action-select"') == 10
    assert "80" not in re.sub(r"p80@|<[^>]*>", "", page.partition('class="paginator"')[2])
    Delivery.objects.filter(recipient__startswith="p7").delete()
    monkeypatch.setattr(base, "MAX_ROWS", 2_000)
    assert "69 deliveries" in text_of(admin.get(MAILS))


@pytest.mark.parametrize(
    ("query", "name"), [("active", "alice"), ("disabled", "bob"), ("pending", "carol"), ("staff", "root")]
)
def test_accounts_are_filtered_by_state(admin: Client, query: str, name: str) -> None:
    """Active, disabled, waiting for their proof, staff."""
    make_user(), make_user("bob", BOB, is_active=False), make_pending("carol@example.com")
    rows = shown(admin, f"{ACCOUNTS}?standing={query}")
    assert [each for each in ("alice", "bob", "carol") if f"{each}@" in rows] == ([name] if name != "root" else [])
    assert f"{name}@example.com" in rows


@pytest.mark.parametrize("path", LISTS[:5])
def test_a_list_offers_to_show_all_only_after_a_search(admin: Client, path: str) -> None:
    """The logs open on the last day, and no list shows more than its first rows: "Show all" would lead to the same."""
    make_delivery(make_captcha())
    assert "Show all" not in text_of(admin.get(path))
    assert "Show all" in text_of(admin.get(f"{path}?q=alice"))


def test_a_site_may_filter_accounts_by_more(admin: Client, monkeypatch) -> None:
    """Each link of Django's filters works: of a field, of one with its filter, of a related row."""
    make_user().groups.add(Group.objects.create(name="Teachers"))
    fields = ("is_staff", ("activated_at", DateFieldListFilter), "groups", "language")
    monkeypatch.setattr(site.get_model_admin(User), "list_filter", fields)
    page = text_of(admin.get(ACCOUNTS)).partition('id="changelist-filter"')[2].partition("</nav>")[0]
    links = re.findall(r'href="(\?[^"]+)"', page)
    assert {name for link in links for name in QueryDict(unescape(link[1:]))} >= {
        "is_staff__exact", "activated_at__gte", "activated_at__isnull", "groups__id__exact",
    }  # fmt: skip
    for link in links:
        assert admin.get(ACCOUNTS + unescape(link)).status_code == 200, link


def test_accounts_are_found(admin: Client) -> None:
    """By address or name, in any case."""
    make_user("Alice"), make_user("bob", BOB)
    for query in ("ALICE", "alice@exam", "ali"):
        rows = shown(admin, f"{ACCOUNTS}?q={query}")
        assert (ALICE in rows, BOB in rows) == (True, False)


@pytest.mark.parametrize(("permissions", "offered"), [("view", False), ("view change", True)])
def test_the_button_of_a_password_leads_to_its_form(client: Client, permissions: str, offered: bool) -> None:
    """An operator who can only look at an account sees none."""
    staff, alice = make_user("staff", "staff@example.com", is_staff=True), make_user()
    names = [f"{name}_user" for name in permissions.split()]
    staff.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(staff)
    page = client.get(f"{ACCOUNTS}{alice.pk}/change/")
    assert page.status_code == 200
    assert ("../password/" in page.text) == offered
    assert client.get(f"{ACCOUNTS}{alice.pk}/password/").status_code == (200 if offered else 403)


@pytest.mark.parametrize(("permissions", "offered"), [(["captchamodel"], False), (["captchamodel", "delivery"], True)])
def test_the_link_of_a_request_to_its_mails_leads_there(client: Client, permissions: list[str], offered: bool) -> None:
    """An operator who may not see mails sees none."""
    staff, sign_up = make_user(is_staff=True), make_captcha(BOB)
    staff.user_permissions.set(Permission.objects.filter(codename__in=[f"view_{name}" for name in permissions]))
    client.force_login(staff)
    page = client.get(f"{SIGNUPS}{sign_up.pk}/change/")
    assert page.status_code == 200
    assert (f"{MAILS}?q=" in page.text) == offered
    assert client.get(MAILS).status_code == (200 if offered else 403)


def test_an_account_is_deleted_with_its_mails(admin: Client) -> None:
    """Though nobody deletes from the mail log. A reset is found by its address."""
    alice = make_user()
    make_delivery(kind="password_reset")
    mail = make_delivery(user_id=alice.pk, kind="password_changed")
    assert admin.post(f"{MAILS}{mail.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post(f"{ACCOUNTS}{alice.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_a_deletion_counts_api_tokens_and_shows_no_hash(admin: Client, many: bool) -> None:
    """knox names a token by its digest."""
    alice = make_user()
    token, _secret = AuthToken.objects.create(user=alice)
    chosen = {"action": "delete_selected", "_selected_action": [alice.pk]}
    page = text_of(admin.post(ACCOUNTS, chosen) if many else admin.get(f"{ACCOUNTS}{alice.pk}/delete/"))
    assert "Auth tokens: 1" in page
    assert token.digest not in page


def test_a_viewer_sees_what_was_granted(client: Client) -> None:
    """The mail log, and no other page."""
    viewer = make_user("viewer", "viewer@example.com", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_delivery"))
    client.force_login(viewer)
    assert client.get(MAILS).status_code == 200
    assert "Send failed mails again" not in text_of(client.get(MAILS))
    assert client.get(SIGNUPS).status_code == 403
    assert client.get(ACCOUNTS).status_code == 403


@pytest.mark.parametrize(("permissions", "offered"), [("add view", False), ("add change", True)])
def test_the_link_to_a_new_account_leads_to_its_form(client: Client, permissions: str, offered: bool) -> None:
    """Django's form asks for the permission to change, too."""
    staff = make_user(is_staff=True)
    names = [f"{name}_user" for name in permissions.split()]
    staff.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(staff)
    for path in ("/admin/", ACCOUNTS):
        assert (f"{ACCOUNTS}add/" in client.get(path).text) == offered
    assert client.get(f"{ACCOUNTS}add/").status_code == (200 if offered else 403)


def test_an_operator_takes_over_a_begun_sign_up(admin: Client, django_capture_on_commit_callbacks) -> None:
    """By createsuperuser and by the admin's form; other apps are told of each, as of any new account."""
    activated: list[str] = []

    def receive(user: User, **kwargs: object) -> None:
        activated.append(user.email)

    user_activated.connect(receive)
    with django_capture_on_commit_callbacks(execute=True):
        take_over(admin)
    user_activated.disconnect(receive)
    assert activated == [ALICE, BOB]


def take_over(admin: Client) -> None:
    make_pending(), make_pending(BOB)
    call_command("createsuperuser", "--noinput", email=ALICE, username="alice", stdout=StringIO())
    fields = {"email": BOB, "username": "bob", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert admin.post("/admin/signup/user/add/", fields).status_code == 302
    assert User.objects.filter(email__in=[ALICE, BOB], is_active=True).count() == 2
    with pytest.raises(CommandError, match="That username is taken"):
        call_command("createsuperuser", "--noinput", email="c@example.com", username="ALICE", stdout=StringIO())


def test_an_account_gets_an_address_with_which_a_sign_up_was_begun(admin: Client) -> None:
    """As by its owner, who lost the old mailbox and tried to sign up before asking for help. Its code opens nothing."""
    alice, client = make_user(), Client()
    sign_up = ask(client, BOB)
    fields = {"email": BOB, "username": "alice", "language": "", "is_active": "on"}
    assert admin.post(f"/admin/signup/user/{alice.pk}/change/", fields).status_code == 302
    alice.refresh_from_db()
    assert alice.email == BOB
    assert "already registered" in text_of(verify(client, sign_up, username="bob"))


@pytest.mark.parametrize("fields", [{}, {"username": ""}], ids=["right", "wrong"])
def test_nothing_is_left_of_the_sign_up_that_an_account_replaces(admin: Client, fields: dict[str, str]) -> None:
    """The address is held from the check on, so that no sign-up can begin in between; a refused form leaves no row."""
    given = {"email": BOB, "username": "bob", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    with CaptureQueriesContext(connection) as queries:
        admin.post("/admin/signup/user/add/", given | fields)
    held = [each["sql"] for each in queries.captured_queries if each["sql"].startswith("INSERT") and BOB in each["sql"]]
    assert len(held) == 2 - len(fields)
    assert User.objects.filter(email=BOB).count() == 1 - len(fields)


@pytest.mark.parametrize(("page", "wrong"), [("add", "password2"), ("add", "username"), ("change", "username")])
def test_a_refused_form_leaves_a_begun_sign_up_alone(admin: Client, page: str, wrong: str) -> None:
    """Nothing is half saved: its row stays until the account is."""
    alice, begun = make_user(), make_pending(BOB)
    path = f"{ACCOUNTS}add/" if page == "add" else f"{ACCOUNTS}{alice.pk}/change/"
    given = {"email": BOB, "username": "bob", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert admin.post(path, {**given, wrong: "?"}).status_code == 200
    assert User.objects.filter(pk=begun.pk).exists()


def test_logs_cannot_be_edited(admin: Client) -> None:
    """Nobody adds a row."""
    assert admin.get("/admin/verification/captchamodel/add/").status_code == 403
    assert admin.get("/admin/worker/delivery/add/").status_code == 403


def test_no_code_activates_an_account_that_an_operator_saved(admin: Client) -> None:
    """A pending account that is saved as inactive stays inactive."""
    user = make_pending()
    fields = {"email": ALICE, "username": "", "language": ""}
    assert admin.post(f"/admin/signup/user/{user.pk}/change/", fields).status_code == 302
    user.refresh_from_db()
    assert (user.is_active, user.is_registered) == (False, True)


def test_an_operator_takes_a_password_away(admin: Client) -> None:
    """It is no empty one: nobody signs in, and no reset is mailed."""
    alice = make_user()
    fields = {"usable_password": "false", "unset-password": "1"}
    assert admin.post(f"/admin/signup/user/{alice.pk}/password/", fields).status_code == 302
    assert not User.objects.get(pk=alice.pk).has_usable_password()


def test_the_admin_adds_accounts_by_the_same_rules(admin: Client) -> None:
    """Canonical, unique without regard to case, active."""
    url, password = "/admin/signup/user/add/", "correct horse b"
    fields = {"usable_password": "true", "password1": password, "password2": password}
    taken = admin.post(url, fields | {"email": ALICE, "username": "ROOT"})
    assert "That username is taken" in text_of(taken)
    assert admin.post(url, fields | {"email": "Alice@Example.com", "username": ""}).status_code == 200
    assert admin.post(url, fields | {"email": "Alice@Example.com", "username": "Alice"}).status_code == 302
    alice = User.objects.get(email=ALICE)
    assert (alice.username, alice.username_key, alice.is_active, alice.is_registered) == (
        "Alice",
        usernames.key("alice"),
        True,
        True,
    )


def test_an_accounts_language_is_one_that_the_site_offers(admin: Client) -> None:
    """As on the account page and in the API; or that of the site; one that is not offered any more stays."""
    alice = make_user(language="it")
    url, fields = f"{ACCOUNTS}{alice.pk}/change/", {"email": ALICE, "username": "Alice", "is_active": "on"}
    for given, kept in (("it", "it"), ("Chinese", "it"), ("zh-CN", "zh-hans"), ("", "")):
        page = admin.post(url, fields | {"language": given})
        assert page.status_code == (200 if given == "Chinese" else 302)
        alice.refresh_from_db()
        assert alice.language == kept
    assert '<option value="zh-hans">简体中文</option>' in text_of(admin.get(url))


def test_an_account_keeps_a_username(admin: Client) -> None:
    """It may be changed but not removed: an account without one counts as not proven."""
    alice = make_user()
    fields = {"email": ALICE, "username": "", "language": "", "is_active": "on"}
    page = admin.post(f"{ACCOUNTS}{alice.pk}/change/", fields)
    assert "Enter a username" in text_of(page)
    assert admin.post(f"{ACCOUNTS}{alice.pk}/change/", fields | {"username": "Alicia"}).status_code == 302
    alice.refresh_from_db()
    assert (alice.username, alice.username_key) == ("Alicia", usernames.key("alicia"))


def test_the_admin_speaks_chinese(admin: Client) -> None:
    """Labels of our models too. Signing out has another word than deleting an account."""
    make_delivery()
    page = text_of(admin.get("/admin/worker/delivery/", headers={"accept-language": "zh-CN"}))
    assert "邮件投递" in page
    assert "收件人" in page
    assert "退出登录" in page
    assert "注销" not in page


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("disowned", "the owner: this wasn't me"),
        ("bounced", "a mail bounced"),
        ("complained", "a mail was reported as spam"),
    ],
)
def test_the_list_of_suppressed_addresses_says_why_how_often_and_until_when(
    admin: Client, reason: str, words: str
) -> None:
    """Filtered by the reason; deleting one lifts it."""
    until = datetime(2030, 3, 4, 5, 6, tzinfo=UTC)
    Suppression.objects.create(address=ALICE, reason=reason, times=2, until=until)
    path = f"/admin/worker/suppression/?reason__exact={reason}"
    rows = shown(admin, path)
    assert [each for each in (ALICE, words, ">2<", "March 4, 2030, 5:06") if each not in rows] == []
    admin.post(path, {"action": "delete_selected", "_selected_action": [ALICE], "post": "yes"})
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(("path", "model"), [(MAILS, Delivery), (SIGNUPS, CaptchaModel)])
def test_a_list_has_the_times_that_the_pages_of_its_rows_have(
    admin: Client, frozen_clock: FrozenClock, settings, path: str, model: type[Model]
) -> None:
    """In the TIME_ZONE of a project's own."""
    settings.TIME_ZONE = "Asia/Shanghai"
    frozen_clock.set(datetime(2026, 12, 31, 20, 5, 6, tzinfo=UTC))
    make_delivery(make_captcha())
    assert "2027-01-01 04:05:06" in shown(admin, path)
    assert "Jan. 1, 2027, 4:05 a.m." in text_of(admin.get(f"{path}{model.objects.get().pk}/change/"))


def test_an_operator_deletes_suppressions_and_adds_none(admin: Client) -> None:
    """For an owner who lost the mail with the link."""
    make_muted()
    assert ALICE in text_of(admin.get("/admin/worker/suppression/"))
    assert admin.get("/admin/worker/suppression/add/").status_code == 403
    admin.post(f"/admin/worker/suppression/{quote(ALICE)}/delete/", {"post": "yes"})
    assert not Suppression.objects.exists()


def test_a_form_changes_only_what_its_operator_changed(admin: Client) -> None:
    """A colleague disabled the account and took its rights while the form was open: saving a language undoes neither."""
    alice = make_user(is_staff=True)
    page = admin.get(f"{ACCOUNTS}{alice.pk}/change/").context["adminform"].form
    shown = {field.html_initial_name: field.value() for field in page if field.field.show_hidden_initial}
    assert "initial-password" not in shown
    assert all(f'name="{name}"' in str(page) for name in shown if shown[name] != [])
    alice.is_active = alice.is_staff = False
    alice.save()
    alice.groups.add(Group.objects.create(name="left"))
    sent = {"email": ALICE, "username": "alice", "is_active": "on", "is_staff": "on", "language": "zh-hans"}
    hidden = {name: value for name, value in shown.items() if value is not None}
    assert admin.post(f"{ACCOUNTS}{alice.pk}/change/", sent | hidden).status_code == 302
    alice.refresh_from_db()
    assert (alice.is_active, alice.is_staff, alice.language) == (False, False, "zh-hans")
    assert alice.groups.count() == 1
    assert alice.logentry_set.count() == 0
    assert "Changed Language." in text_of(admin.get(f"{ACCOUNTS}{alice.pk}/history/"))
