"""The rows that a purge deletes, and those that it keeps."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.db.models import QuerySet
from django.test import Client

from core import clock
from core.observability import counters
from signup import retention
from signup.models import User
from signup.retention import purge
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
    wrong,
)
from tests.steps import deliver
from verification import services as verification
from verification.models import CaptchaModel
from verification.states import CodeMismatch
from worker import suppression
from worker.models import Delivery, Suppression

pytestmark = pytest.mark.django_db


def run(**options: bool) -> dict[str, int]:
    return dict(purge(**options))


def test_an_account_never_activated_goes_after_a_day(frozen_clock: FrozenClock) -> None:
    """To the second."""
    make_pending()
    frozen_clock.move(seconds=86_400)
    assert run()["users"] == 0
    frozen_clock.move(seconds=1)
    assert run()["users"] == 1
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "columns",
    [{"is_active": True}, {"is_staff": True}, {"activated_at": clock.now()}, {"last_login": clock.now()}],
    ids=lambda columns: next(iter(columns)),
)
def test_a_user_that_was_ever_active_stays(frozen_clock: FrozenClock, columns: dict) -> None:
    """Active, staff, disabled after activation, ever signed in."""
    make_pending()
    User.objects.update(**columns)
    frozen_clock.move(days=400)
    assert run()["users"] == 0


def test_an_account_with_a_recent_request_stays(frozen_clock: FrozenClock) -> None:
    """Its visitor may still register."""
    make_pending()
    frozen_clock.move(hours=23)
    make_captcha()
    frozen_clock.move(hours=2)
    assert run()["users"] == 0
    frozen_clock.move(hours=23)
    assert run()["users"] == 1


def test_an_account_with_a_waiting_mail_stays(frozen_clock: FrozenClock) -> None:
    """The mail may still arrive."""
    make_pending()
    make_delivery()
    frozen_clock.move(days=2)
    assert run()["users"] == 0
    Delivery.objects.update(state="failed")
    assert run()["users"] == 1


def test_codes_go_after_a_week_and_mails_after_a_month(frozen_clock: FrozenClock) -> None:
    """The log keeps a mail longer than its code."""
    sign_up = make_captcha()
    make_delivery(sign_up)
    frozen_clock.move(days=7, seconds=1)
    assert run()["codes"] == 0  # its mail still waits
    Delivery.objects.update(state="sent")
    done = run()
    assert (done["deliveries"], done["codes"], done["users"]) == (0, 1, 0)
    assert Delivery.objects.get().sign_up is None
    frozen_clock.move(days=23)
    assert run()["deliveries"] == 1


def test_no_mail_goes_that_a_limit_still_counts(frozen_clocks: FrozenClock, settings) -> None:
    """However short PURGE_DELIVERIES_AFTER is: the limit counts rows."""
    settings.PURGE_DELIVERIES_AFTER, settings.LIMIT_MAILS_MAILBOX = 60, [(1, 2 * 86_400)]
    make_delivery(make_captcha(accepted=False), network="here")
    frozen_clocks.move(hours=2)  # as the mail server is down; the limit counts from when it leaves
    deliver()
    frozen_clocks.move(hours=47)
    done = run()
    assert (done["deliveries"], done["site mails"]) == (0, 0)
    make_delivery(make_captcha(), network="there")
    assert deliver() == []  # the limit is reached
    frozen_clocks.move(hours=2)
    assert run()["deliveries"] == 1


def test_mails_past_the_limit_stay_for_a_day(frozen_clock: FrozenClock, settings) -> None:
    """The first longer code of a day is one of them."""
    settings.PURGE_DELIVERIES_AFTER = 60
    make_delivery(make_captcha())
    Delivery.objects.update(state="sent")
    frozen_clock.move(hours=24)
    assert run()["deliveries"] == 0
    frozen_clock.move(seconds=1)
    assert run()["deliveries"] == 1


def test_guesses_stay_while_limits_count_them(frozen_clock: FrozenClock, settings) -> None:
    """Longer than the code, the account and the mails of the address; then they go too."""
    settings.LIMIT_GUESSES_SITE = [(100, 6)]
    for _ in range(2):  # the row of the first takes the second, too
        sign_up = make_captcha()
        with pytest.raises(CodeMismatch):
            verification.prove(sign_up=sign_up, address=ALICE, code=wrong(sign_up))
        frozen_clock.move(hours=47)
        assert run()["address guesses"] == 0
    frozen_clock.move(hours=2)
    done = run()
    assert (done["address guesses"], done["site guesses"]) == (1, 1)


def test_an_expired_session_goes(frozen_clock: FrozenClock, client: Client) -> None:
    """Two weeks after the sign-in; no job of the operator's has to delete it."""
    client.force_login(make_user())
    frozen_clock.move(days=13)
    assert run()["sessions"] == 0
    frozen_clock.move(days=2)
    assert run()["sessions"] == 1


def test_it_works_in_small_batches(frozen_clock: FrozenClock, monkeypatch) -> None:
    """All rows go."""
    monkeypatch.setattr("signup.retention.BATCH", 2)
    for number in range(5):
        make_pending(f"alice{number}@example.com")
    frozen_clock.move(days=2)
    assert run()["users"] == 5


def test_a_dry_run_only_counts(frozen_clock: FrozenClock, capsys, monkeypatch) -> None:
    """In the operator's language."""
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    make_pending()
    frozen_clock.move(days=2)
    call_command("purge", "--dry-run")
    assert "从未激活的账号: 1" in capsys.readouterr().out
    assert User.objects.exists()
    call_command("purge")
    assert not User.objects.exists()


def test_what_came_in_while_a_row_was_locked_keeps_it(frozen_clock: FrozenClock, monkeypatch) -> None:
    """Somebody asked for a code again, for an address whose account was about to go."""
    make_pending()
    frozen_clock.move(days=2)
    delete = QuerySet.delete

    def meanwhile(rows: QuerySet) -> object:
        if rows.model is User:
            make_captcha()
        return delete(rows)

    monkeypatch.setattr(QuerySet, "delete", meanwhile)
    assert run()["users"] == 0
    assert User.objects.exists()


def test_a_kind_that_can_not_be_deleted_keeps_no_other(frozen_clock: FrozenClock, monkeypatch) -> None:
    """As a table that takes longer than the statement_timeout. The error is raised, and the purge not counted."""
    make_pending()
    frozen_clock.move(days=2)
    delete = retention._delete

    def failing(rows: QuerySet) -> int:
        if rows.model is Delivery:
            raise OperationalError("canceling statement due to statement timeout")
        return delete(rows)

    monkeypatch.setattr(retention, "_delete", failing)
    with pytest.raises(OperationalError):
        run()
    assert not User.objects.exists()
    assert ("doorcode_purges", "") not in counters._gathered


def test_a_purge_without_a_database_ends_at_once(monkeypatch) -> None:
    """Not after the connection's timeout for each kind of rows."""

    class Down:
        def ensure_connection(self) -> None:
            raise OperationalError("connection timeout expired")

    monkeypatch.setattr(retention, "connection", Down())
    monkeypatch.setattr(retention, "_delete", lambda rows: pytest.fail("it asks again"))
    with pytest.raises(OperationalError, match="expired"):
        run()


def test_a_purge_is_counted_at_its_end(monkeypatch) -> None:
    """An alert misses it. One that fails, and a dry run, are none."""
    purge_of_all = retention._delete
    run(dry_run=True)
    monkeypatch.setattr(retention, "_delete", lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()
    assert ("doorcode_purges", "") not in counters._gathered
    monkeypatch.setattr(retention, "_delete", purge_of_all)
    run()
    assert counters._gathered["doorcode_purges", ""] == 1


def test_a_script_that_is_not_asked_does_not_wait_for_a_count(monkeypatch) -> None:
    """After months without a purge the database may give up counting, and then nothing would be deleted."""
    calls: list[bool] = []
    monkeypatch.setattr("signup.management.commands.purge.purge", lambda dry_run: calls.append(dry_run) or iter(()))
    call_command("purge")
    call_command("purge", "--yes")
    assert calls == [False, False]


def test_the_task_says_what_it_did(frozen_clock: FrozenClock, caplog) -> None:
    """In the log."""
    from signup.tasks import purge as task

    make_user("bob", BOB)
    caplog.set_level("INFO")
    task()
    assert "purged users: 0" in caplog.text
    assert CaptchaModel.objects.count() == 0


def test_a_long_purge_is_not_begun_again() -> None:
    """
    After visibility_timeout the broker repeats a message that is not acknowledged, until long purges have taken all
    threads that send mails. So may the tasks of another app: only that which sends mails is acknowledged at its end.
    """
    from celery import current_app

    from signup.tasks import purge as task
    from worker.tasks import deliver

    assert not current_app.conf.task_acks_late
    assert (deliver.acks_late, task.acks_late) == (True, False)


def test_a_proof_whose_account_was_purged_still_registers() -> None:
    """It creates the account again."""
    from signup import services

    make_pending()
    sign_up = make_captcha()
    verification.prove(sign_up=sign_up, address=ALICE, code=right(sign_up))
    User.objects.all().delete()
    user = services.register(sign_up=sign_up, username="alice", password=PASSWORD, language="en")
    assert user.is_active
    assert user.created_at > clock.now() - timedelta(minutes=1)


@pytest.mark.parametrize("reason", ["bounced", "complained"])
def test_how_often_an_address_bounced_is_kept_for_90_days(frozen_clock: FrozenClock, reason: str) -> None:
    """After the end of its suppression; so the next one is longer."""
    suppression.suppress(address=ALICE, reason=Suppression.Reason(reason))
    frozen_clock.move(days=1 + 90)
    assert run()["suppressions"] == 0
    suppression.suppress(address=ALICE, reason=Suppression.Reason(reason))
    assert Suppression.objects.get().times == 2
    frozen_clock.move(days=7 + 90, seconds=1)
    assert run()["suppressions"] == 1
    assert not Suppression.objects.exists()


def test_a_mute_does_not_make_bounces_forgotten(frozen_clock: FrozenClock) -> None:
    """The next bounce still counts as the second."""
    suppression.suppress(address=ALICE, reason=Suppression.Reason.BOUNCED)
    make_muted()
    frozen_clock.move(days=60)
    assert run()["suppressions"] == 0
    suppression.suppress(address=ALICE, reason=Suppression.Reason.BOUNCED)
    assert Suppression.objects.get().times == 2


def test_a_mute_that_is_over_goes(frozen_clock: FrozenClock) -> None:
    """And not before its end."""
    make_muted()
    frozen_clock.move(days=29)
    assert run()["suppressions"] == 0
    frozen_clock.move(days=2)
    assert run()["suppressions"] == 1
