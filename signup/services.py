"""The visitor's journey: ask for a code, ask again, register. Each verb owns its transaction."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction

from core import clock
from verification import lookup
from verification import services as verification
from verification.models import CaptchaModel
from verification.states import CodeTooShort, HandleLost
from worker import outbox
from worker.models import Delivery

from . import usernames
from .models import User
from .signals import user_activated

DAY = timedelta(days=1)


class SignupError(Exception):
    """A sign-up that can't go on. `code` is stable, for forms and the API to translate."""

    code = "signup"


class UsernameTaken(SignupError):
    """Somebody has this username, or took it a moment ago."""

    code = "username_taken"


class AlreadyRegistered(SignupError):
    """The address has an account. Told only to who proved the mailbox, or where the site reveals it."""

    code = "email_registered"


def is_registered(*, address: str) -> bool:
    """Whether a canonical address has an account, active or disabled."""
    return User.objects.filter(email=address).exclude(pk__in=User.objects.pending()).exists()


def is_username_free(*, username: str) -> bool:
    return not User.objects.filter(username_key=usernames.key(username)).exists()


def request_code(
    *, address: str, language: str, held: Mapping[str, str], once: str | None = None, network: str = ""
) -> CaptchaModel:
    """
    Have a code mailed to a canonical `address`, and return the request that it is bound to.

    A request of this address that the visitor holds already (`held`: handle -> link proof or "") is used again: as it
    is where it is proven to this visitor, else as a resend; within its cooldown a mail is on its way, and nothing more
    happens. A registered address costs the same statements, and gets a decoy and another mail. `once` is the handle
    that a form sent twice gets twice: its second post makes no second request, whose code would make the first one's
    useless. `network` is the fingerprint of where it comes from.
    """
    known = next((each for each in lookup.find(handles=held) if each.address == address), None)
    if known and not verification.holds_proof(known, link_proof=held[known.handle]):
        try:
            resend(captcha=known, language=language, network=network)
        except verification.ResendTooSoon:
            pass
        except HandleLost:
            known = None
    if known:
        return known
    try:
        return _begin(address=address, language=language, network=network, handle=once)
    except IntegrityError:
        twin = lookup.find(handles=[once or ""])
        if twin:
            return twin[0]
        return _begin(address=address, language=language, network=network, handle=None)


@transaction.atomic
def _begin(*, address: str, language: str, network: str, handle: str | None) -> CaptchaModel:
    user = User.objects.lock_or_create(email=address)
    captcha = verification.issue(address=address, decoy=user.is_registered, handle=handle)
    _post(captcha, user, language, network)
    return captcha


@transaction.atomic
def resend(*, captcha: CaptchaModel, language: str, network: str = "") -> bool:
    """
    Have the mail of a request sent again. True: with a new code, as the old one was dead or too short; False: with the
    same.

    A mail that still waits in the outbox is hurried instead of doubled. Raises HandleLost, also for what is proven
    already, or ResendTooSoon.
    """
    locked = lookup.lock(captcha=captcha)
    if locked is None:
        raise HandleLost
    if locked.proven_at:  # whoever proved it needs no mail; to anybody else the request is over
        raise HandleLost
    waiting = outbox.hold(captcha=locked)
    in_flight = any(each.state == Delivery.State.SENDING for each in waiting)
    renewed = verification.renew(captcha=locked, in_flight=in_flight)
    user = User.objects.filter(email=locked.address).first()
    if renewed:
        outbox.supersede(deliveries=waiting)
        verification.set_decoy(captcha=locked, decoy=bool(user and user.is_registered))
    if waiting and not renewed:
        outbox.hasten(delivery=waiting[-1], language=_mail_language(user, language))
    else:
        _post(locked, user, language, network)
    return renewed


def prove(*, captcha: CaptchaModel | None, address: str, code: str, link_proof: str | None) -> str:
    """
    Prove the mailbox by the typed code or the mail's link; see `verification.services.prove` for what it returns and
    raises. Where that is CodeTooShort, a mail with a longer code is on its way.
    """
    try:
        return verification.prove(captcha=captcha, address=address, code=code, link_proof=link_proof)
    except CodeTooShort:
        if captcha:
            _lengthen(captcha)
        raise


@transaction.atomic
def _lengthen(captcha: CaptchaModel) -> None:
    """
    Replace a code that became too short, by one more mail. The first of a day to a mailbox leaves at once: its owner
    did nothing wrong. More of them count as mails of the one who asked for the code, and wait for the mail limit.
    """
    locked = lookup.lock(captcha=captcha)
    if locked and verification.lengthen(captcha=locked):
        list(User.objects.select_for_update(no_key=True).filter(email=locked.address))  # one at a time of an address
        last = Delivery.objects.latest_about(locked)
        first = not Delivery.objects.beside_limit(address=locked.address, since=clock.now() - DAY).exists()
        outbox.post(
            kind=_kind(locked),
            recipient=locked.address,
            language=last.language if last else "",
            captcha=locked,
            network=None if first else last.network if last else "",
        )
    captcha.refresh_from_db()


def register(*, captcha: CaptchaModel, username: str, password: str, language: str) -> User:
    """
    Spend the proof of `captcha` and activate its account, both or neither; return the account.

    Raises HandleLost (the proof was spent), AlreadyRegistered (the address got an account by another request, or an
    operator disabled it), UsernameTaken.
    """
    hashed = make_password(password)  # before the transaction: it takes longer than all of its statements
    try:
        with transaction.atomic():
            return _activate(captcha, username, hashed, language)
    except IntegrityError as error:
        raise UsernameTaken from error


def _activate(captcha: CaptchaModel, username: str, hashed: str, language: str) -> User:
    if not verification.redeem(captcha=captcha):
        raise HandleLost
    now = clock.now()
    account = {
        "username": username,
        "username_key": usernames.key(username),
        "password": hashed,
        "language": language,
        "is_active": True,
        "activated_at": now,
        "last_login": now,  # whoever registers is signed in
    }
    user = User.objects.lock_or_create(email=captcha.address)  # a purge may have taken the row that waited
    if not User.objects.pending().filter(pk=user.pk).activate(**account):
        raise AlreadyRegistered
    user.refresh_from_db()
    transaction.on_commit(partial(user_activated.send_robust, sender=User, user=user), robust=True)
    return user


def request_password_reset(*, address: str, language: str, network: str = "") -> None:
    """
    Have a reset mail sent where the canonical address has an active account; its token is made in the worker.

    A row is written for any address, so that no stranger can tell by the time it takes; the worker drops it where
    there is no account to reset.
    """
    with transaction.atomic():
        user = User.objects.filter(email=address, is_active=True).first()
        outbox.post(
            kind=Delivery.Kind.PASSWORD_RESET,
            recipient=address,
            language=_mail_language(user, language),
            user_id=user.pk if user and user.has_usable_password() else None,
            network=network,
        )


def _post(captcha: CaptchaModel, user: User | None, language: str, network: str) -> None:
    language = _mail_language(user, language)
    outbox.post(kind=_kind(captcha), recipient=captcha.address, language=language, captcha=captcha, network=network)


def _kind(captcha: CaptchaModel) -> str:
    return Delivery.Kind.REGISTERED if captcha.decoy else Delivery.Kind.CODE


def _mail_language(user: User | None, asked: str) -> str:
    """Who has an account chose a language with it; whoever else asks for a mail chose one now."""
    return (user.language if user else "") or asked
