"""The dashboard's charts, its page, and its permissions."""

import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from signup.admin import dashboard
from tests.factories import ALICE, FrozenClock, make_captcha, make_delivery, make_user, text_of
from worker.models import Delivery

pytestmark = pytest.mark.django_db

VIEW_LOGS = ["view_delivery", "view_captchamodel"]
FATES = ("sent", "waiting", "failed", "bounced", "reported as spam", "expired")


def test_a_chart_fits_its_view_box() -> None:
    """Columns as high as their values; lines with gaps; numbers that SVG reads."""
    plot = dashboard.column_chart({"asked": [10, 0, 5]}, ["a", "", "c"])
    heights = [dashboard.BOTTOM - y for _series, points in plot["runs"] for _x, y in points]
    assert heights == [94.0, 47.0]
    assert plot["rows"] == [(200.0, "0"), (153.0, "5"), (106.0, "10"), (59.0, "15"), (12.0, "20")]
    assert [label for _x, label in plot["columns"]] == ["a", "c"]
    lines = dashboard.line_chart({"median": [0.0, 1.0, None, 9_999.0]}, ["a"] * 4)["runs"]
    assert [len(points) for _series, points in lines] == [2, 1]
    heights = [y for _series, points in lines for _x, y in points]
    assert heights[0] == dashboard.BOTTOM
    assert heights[-1] == dashboard.TOP


def test_its_times_are_utc(admin: Client, frozen_clock: FrozenClock, settings) -> None:
    """As it says, whatever TIME_ZONE of its own a project has."""
    settings.TIME_ZONE = "Asia/Shanghai"
    frozen_clock.set(datetime(2026, 3, 4, 12, 30, tzinfo=UTC))
    make_captcha()
    page = admin.get("/admin/dashboard/").content.decode()
    assert "2026-03-04 12:00" in page
    assert "2026-03-04 20:00" not in page


def test_bars_are_drawn_whatever_the_form_of_numbers_in_texts(admin: Client, settings, monkeypatch) -> None:
    """A project's own: "1,234" is no length of SVG."""
    settings.USE_THOUSAND_SEPARATOR = True
    domain = {"name": "example.com", "mails": 2_468, **dict.fromkeys(dashboard.MAIL_STATES, 0), "sent": 1_234}
    monkeypatch.setattr("signup.statistics.domains", lambda since: [domain | {"failed": 1_234}])
    monkeypatch.setattr("signup.statistics.languages", lambda since: [("English", 1_234)])
    page = text_of(admin.get("/admin/dashboard/"))
    assert [page.count(f'viewBox="0 0 {length} 10"') for length in (1234, 2468)] == [1, 1]
    assert (page.count('x="1234"'), page.count('width="1234"')) == (2, 3)
    assert "1,234" in page


def test_an_empty_site_has_a_dashboard(admin: Client) -> None:
    """Without a division by zero; an unknown span is a day."""
    page = text_of(admin.get("/admin/dashboard/?span=nonsense"))
    assert page.count('<svg class="plot"') == 2
    assert "No mails" in page


def test_the_page_needs_no_style_or_script_of_its_own(admin: Client) -> None:
    """Charts are named and described, and each has a table; no address is shown."""
    make_delivery(make_captcha())
    page = text_of(admin.get("/admin/dashboard/?span=7d"))
    body = page.partition('id="content"')[2].partition("<footer")[0]
    assert "style=" not in page
    assert "<script" not in body
    assert ALICE not in body
    described = re.findall(r'role="img" aria-labelledby="(\w+)" aria-describedby="([\w-]+)"', body)
    assert [f'id="{each}"' in body for pair in described for each in pair] == [True] * 4
    assert body.count('<tr><th scope="row">20') == 168


def test_a_domain_has_a_part_for_each_fate_of_its_mails(admin: Client) -> None:
    """Beside the number; bounced mails and those reported as spam are not among the failed ones."""
    for state in ("sent", "sent", "pending", "failed", "bounced", "complained", "expired"):
        Delivery.objects.filter(pk=make_delivery().pk).update(state=state)
    page = text_of(admin.get("/admin/dashboard/"))
    table = page.partition('id="domains"')[2].partition("</table>")[0]
    heads = re.findall(r'class="key (\w+)" aria-hidden="true"></span>([^<]+)<', table)
    assert heads == [*zip(dashboard.MAIL_STATES, FATES, strict=True)]
    assert re.findall(r'<td class="number">(\d+)', table) == ["2", "1", "1", "1", "1", "1"]
    assert re.findall(r'<rect class="(\w+)"', table) == list(dashboard.MAIL_STATES)


@pytest.mark.parametrize(
    ("language", "words"), [("zh-CN", "从申请到账号"), ("zh-TW", "從申請到帳號"), ("en", "From request")]
)
def test_it_speaks_the_operators_language(admin: Client, language: str, words: str) -> None:
    """And every page links to it."""
    assert words in text_of(admin.get("/admin/dashboard/", headers={"accept-language": language}))
    assert 'href="/admin/dashboard/"' in text_of(admin.get("/admin/", headers={"accept-language": language}))


def test_the_admin_offers_only_the_languages_that_it_speaks(admin: Client) -> None:
    offered = re.findall(r'<button[^>]* lang="([\w-]+)"', text_of(admin.get("/admin/")))
    assert sorted(offered) == ["en", "zh-hans", "zh-hant"]


@pytest.mark.parametrize(("first", "other"), [VIEW_LOGS, VIEW_LOGS[::-1]])
def test_the_dashboard_needs_the_permission_to_view_both_logs(client: Client, first: str, other: str) -> None:
    """Strangers sign in first; staff with fewer permissions are refused, and see no link."""
    assert client.get("/admin/dashboard/").status_code == 302
    viewer = make_user("viewer", "viewer@example.com", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename=first))
    client.force_login(viewer)
    assert client.get("/admin/dashboard/").status_code == 403
    assert 'href="/admin/dashboard/"' not in text_of(client.get("/admin/"))
    viewer.user_permissions.add(Permission.objects.get(codename=other))
    assert client.get("/admin/dashboard/").status_code == 200
