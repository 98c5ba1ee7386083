"""The visitor's journey: ask for a code, ask again, register. Each verb owns its transaction."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction

from core import clock
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
    known = next((each for each in CaptchaModel.objects.by_handles(held) if each.address == address), None)
    if known and not verification.holds_proof(known, link_proof=held[known.handle]):
        try:
            resend(sign_up=known, language=language, network=network)
        except verification.ResendTooSoon:
            pass
        except HandleLost:
            known = None
    if known:
        return known
    try:
        return _begin(address=address, language=language, network=network, handle=once)
    except IntegrityError:
        twin = CaptchaModel.objects.by_handles([once or ""])
        if twin:
            return twin[0]
        return _begin(address=address, language=language, network=network, handle=None)


@transaction.atomic
def _begin(*, address: str, language: str, network: str, handle: str | None) -> CaptchaModel:
    user = User.objects.lock_or_create(email=address)
    sign_up = verification.issue(address=address, decoy=user.is_registered, handle=handle)
    _post(sign_up, user, language, network)
    return sign_up


@transaction.atomic
def resend(*, sign_up: CaptchaModel, language: str, network: str = "") -> bool:
    """
    Have the mail of a request sent again. True: with a new code, as the old one was dead or too short; False: with the
    same.

    A mail that still waits in the outbox is hurried instead of doubled. Raises HandleLost, also for what is proven
    already, or ResendTooSoon.
    """
    locked = CaptchaModel.objects.lock(sign_up)
    if locked is None:
        raise HandleLost
    if locked.proven_at:  # whoever proved it needs no mail; to anybody else the request is over
        raise HandleLost
    waiting = outbox.hold(sign_up=locked)
    in_flight = any(each.state == Delivery.State.SENDING for each in waiting)
    renewed = verification.renew(sign_up=locked, in_flight=in_flight)
    user = User.objects.filter(email=locked.address).first()
    if renewed:
        outbox.supersede(deliveries=waiting)
        verification.set_decoy(sign_up=locked, decoy=bool(user and user.is_registered))
    if waiting and not renewed:
        outbox.send_sooner(delivery=waiting[-1], language=_mail_language(user, language))
    else:
        _post(locked, user, language, network)
    return renewed


def prove(*, sign_up: CaptchaModel | None, address: str, code: str, link_proof: str | None) -> str:
    """
    Prove the mailbox by the typed code or the mail's link; see `verification.services.prove` for what it returns and
    raises. Where that is CodeTooShort, a mail with a longer code is on its way.
    """
    try:
        return verification.prove(sign_up=sign_up, address=address, code=code, link_proof=link_proof)
    except CodeTooShort:
        if sign_up:
            _lengthen(sign_up)
        raise


@transaction.atomic
def _lengthen(sign_up: CaptchaModel) -> None:
    """
    Replace a code that became too short, by one more mail. The first of a day to a mailbox leaves at once: its owner
    did nothing wrong. More of them count as mails of the one who asked for the code, and wait for the mail limit.
    """
    locked = CaptchaModel.objects.lock(sign_up)
    if locked and verification.lengthen(sign_up=locked):
        list(User.objects.select_for_update(no_key=True).filter(email=locked.address))  # one at a time of an address
        last = Delivery.objects.latest_about(locked)
        first = not Delivery.objects.beside_limit(address=locked.address, since=clock.now() - DAY).exists()
        outbox.post(
            kind=_kind(locked),
            recipient=locked.address,
            language=last.language if last else "",
            sign_up=locked,
            network=None if first else last.network if last else "",
        )
    sign_up.refresh_from_db()


def register(*, sign_up: CaptchaModel, username: str, password: str, language: str) -> User:
    """
    Spend the proof of `captcha` and activate its account, both or neither; return the account.

    Raises HandleLost (the proof was spent), AlreadyRegistered (the address got an account by another request, or an
    operator disabled it), UsernameTaken.
    """
    hashed = make_password(password)  # before the transaction: it takes longer than all of its statements
    try:
        with transaction.atomic():
            return _activate(sign_up, username, hashed, language)
    except IntegrityError as error:
        raise UsernameTaken from error


def _activate(sign_up: CaptchaModel, username: str, hashed: str, language: str) -> User:
    if not verification.redeem(sign_up=sign_up):
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
    user = User.objects.lock_or_create(email=sign_up.address)  # a purge may have taken the row that waited
    if not User.objects.pending().filter(pk=user.pk).activate(**account):
        raise AlreadyRegistered
    user.refresh_from_db()
    transaction.on_commit(partial(user_activated.send_robust, sender=User, user=user), robust=True)
    return user


def _post(sign_up: CaptchaModel, user: User | None, language: str, network: str) -> None:
    language = _mail_language(user, language)
    outbox.post(kind=_kind(sign_up), recipient=sign_up.address, language=language, sign_up=sign_up, network=network)


def _kind(sign_up: CaptchaModel) -> str:
    return Delivery.Kind.REGISTERED if sign_up.decoy else Delivery.Kind.CODE


def _mail_language(user: User | None, asked: str) -> str:
    """Who has an account chose a language with it; whoever else asks for a mail chose one now."""
    return (user.language if user else "") or asked
