"""The dashboard's figures, its charts, and who may see them."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from signup.admin import charts, figures
from tests.factories import ALICE, BOB, Hands, make_captcha, make_delivery, make_user, text_of
from verification.models import CaptchaModel, GuessTally
from worker.models import Delivery

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)


@pytest.fixture
def noon(hands: Hands) -> Hands:
    hands.moment = NOON
    return hands


def sent(wait: float, recipient: str = ALICE, **columns: object) -> None:
    delivery = make_delivery(recipient=recipient)
    when = {"state": "sent", "sent_at": delivery.created_at + timedelta(seconds=wait)}
    Delivery.objects.filter(pk=delivery.pk).update(**{**when, **columns})


def test_the_funnel_counts_how_far_the_requests_of_an_hour_came(noon: Hands) -> None:
    """Each step is a part of the one before; decoys are left out, and what is older than the span."""
    make_captcha(accepted=False), make_captcha(decoy=True), make_captcha(BOB)
    proven, done, disowned = make_captcha(), make_captcha(), make_captcha()
    CaptchaModel.objects.filter(pk__in=[proven.pk, done.pk]).update(proven_at=NOON)
    CaptchaModel.objects.filter(pk__in=[disowned.pk, done.pk]).update(redeemed_at=NOON)
    CaptchaModel.objects.filter(pk=make_captcha().pk).update(created_at=NOON - timedelta(hours=24))
    steps = figures.funnel(figures.span(hours=24))
    assert len(steps) == 24
    assert steps[-1] == (NOON.replace(minute=0), 5, 4, 2, 1)
    assert sum(step.asked for step in steps) == 5


def test_waits_are_ranked_by_the_hour(noon: Hands) -> None:
    """Nearest rank, to a tenth of a second; no mail, no value."""
    for wait in (0.3, 1.0, 2.0, 90.0):
        sent(wait)
    waits = figures.waits(figures.span(hours=24))
    assert waits[-1] == (NOON.replace(minute=0), 1.0, 90.0)
    assert waits[-2][1:] == (None, None)
    assert figures.percentile([(1.0, 94), (7.0, 6)], 95) == 7.0
    assert figures.percentile([(1.0, 95), (7.0, 5)], 95) == 1.0


def test_mails_are_counted_by_domain_and_language(noon: Hands) -> None:
    """The busiest domains first, each by what became of its mails."""
    sent(1), sent(1, state="failed", sent_at=None), sent(1, "x@other.example", language="zh-hans")
    span = figures.span(hours=24)
    assert figures.domains(span) == [("example.com", 2, 1, 0, 1, 0), ("other.example", 1, 1, 0, 0, 0)]
    assert figures.languages(span) == [("English", 2), ("简体中文", 1)]


def test_limits_show_what_the_budgets_did(noon: Hands) -> None:
    """Wrong codes, used-up tries, longer codes, mails put off."""
    GuessTally.objects.create(hour=NOON, shard=0, guesses=9)
    GuessTally.objects.create(hour=NOON - timedelta(hours=30), shard=0, guesses=90)
    CaptchaModel.objects.filter(pk=make_captcha().pk).update(attempts=5)
    CaptchaModel.objects.filter(pk=make_captcha().pk).update(length=8)
    make_delivery(network="n")
    put_off = make_delivery(network="n")
    Delivery.objects.update(next_attempt_at=NOON)  # which the outbox takes from the database's clock
    Delivery.objects.filter(pk=put_off.pk).update(admitted_at=NOON + timedelta(minutes=1))
    assert [figure.number for figure in figures.limits(figures.span(hours=24))] == [9, 1, 1, 1]


def test_a_chart_stands_inside_its_box() -> None:
    """Columns as high as their values; lines with gaps; numbers that SVG reads."""
    plot = charts.nested({"asked": [10, 0, 5]}, ["a", "", "c"])
    assert [(bar.y, bar.height) for bar in plot.bars] == [("106", "94"), ("153", "47")]
    assert [mark.label for mark in plot.rows] == ["0", "5", "10", "15", "20"]
    assert [mark.label for mark in plot.columns] == ["a", "c"]
    lines = charts.waits({"median": [0.0, 1.0, None, 9_999.0]}, ["a"] * 4).lines
    assert [line.points.count(",") for line in lines] == [2, 1]
    heights = [float(point.split(",")[1]) for line in lines for point in line.points.split()]
    assert heights[0] == charts.BOTTOM
    assert heights[-1] == charts.TOP


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


@pytest.mark.parametrize(
    ("language", "words"), [("zh-CN", "从申请到账号"), ("zh-TW", "從申請到帳號"), ("en", "From request")]
)
def test_it_speaks_the_operators_language(admin: Client, language: str, words: str) -> None:
    """And the way to it stands on every page."""
    assert words in text_of(admin.get("/admin/dashboard/", headers={"accept-language": language}))
    assert 'href="/admin/dashboard/"' in text_of(admin.get("/admin/", headers={"accept-language": language}))


def test_it_is_for_who_may_look_at_both_logs(client: Client) -> None:
    """Strangers sign in first; other staff may not, and sees no way to it."""
    assert client.get("/admin/dashboard/").status_code == 302
    viewer = make_user("viewer", "viewer@example.com", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_delivery"))
    client.force_login(viewer)
    assert client.get("/admin/dashboard/").status_code == 403
    assert 'href="/admin/dashboard/"' not in text_of(client.get("/admin/"))
    viewer.user_permissions.add(Permission.objects.get(codename="view_captchamodel"))
    assert client.get("/admin/dashboard/").status_code == 200
