"""The services of the journey: request a code, send it again, prove, register. Each owns its transaction."""

from collections.abc import Mapping
from typing import NamedTuple

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import password_changed
from django.db import IntegrityError, transaction

from core import clock, email_addresses
from verification import services as verification
from verification.models import CaptchaModel
from verification.states import AlreadyRedeemed, CodeTooShort, HandleLost, ResendTooSoon, SignUpError
from worker import outbox
from worker.models import Delivery

from . import usernames
from .models import User
from .signals import send_user_activated


class UsernameTaken(SignUpError):
    """Another account has this username."""

    code = "username_taken"


class AlreadyRegistered(SignUpError):
    """The address has an account. Only a visitor who proved the mailbox learns it, or all if the site reveals it."""

    code = "email_registered"


def is_username_free(*, username: str, address: str) -> bool:
    """Whether the visitor of this address may take this name: no other account has it, and it is not reserved."""
    return not usernames.is_reserved(username) and not User.objects.named(username).exclude(email=address).exists()


def is_registered(*, address: str) -> bool:
    """Whether a canonical address has an account. `AlreadyRegistered` says who may learn it."""
    return User.objects.registered().filter(email=address).exists()


def request_code(
    *, address: str, language: str, held: Mapping[str, str], handle: str | None = None, network: str = ""
) -> CaptchaModel:
    """
    Have a code mailed to a canonical `address`, and return the request that the code is bound to.

    A request for the address that the visitor holds (`held`: handle -> proof or "") is used again: as it is if
    this visitor proved it, else its mail is sent again; within the cooldown that mail is on its way, and nothing more
    happens. A registered address costs the same statements, and gets a decoy and another mail. A new request gets the
    `handle`, if one is given (see `codes.handle_for`): a second call with it returns the request of the first, because
    another request would make the first one's code useless.
    `network` is the pseudonym of the visitor's network.
    """
    mine = CaptchaModel.objects.by_handles(held)
    known = next((each for each in mine if each.address == address and not each.is_finished), None)
    if known and not verification.holds_proof(known, proof=held[known.handle]):
        try:
            resend(sign_up=known, language=language, network=network)
        except ResendTooSoon:
            pass
        except HandleLost:
            known = None
    if known:
        return known
    try:
        return _begin(address=address, language=language, network=network, handle=handle)
    except IntegrityError:  # there is a request with this handle; it may be finished
        twin = CaptchaModel.objects.live().filter(handle=handle).first()
        return twin or _begin(address=address, language=language, network=network, handle=None)


@transaction.atomic
def _begin(*, address: str, language: str, network: str, handle: str | None) -> CaptchaModel:
    user = User.objects.lock_or_create(email=address)
    sign_up = verification.issue(address=address, decoy=user.is_registered, handle=handle)
    _post(sign_up, user.language or language, network)
    return sign_up


class Resent(NamedTuple):
    is_new_code: bool  # because the old one was expired, used up or too short
    waiting: Delivery | None  # the mail that was asked for before and waits in the outbox; None if one was added


@transaction.atomic
def resend(*, sign_up: CaptchaModel, language: str, network: str = "") -> Resent:
    """
    Have the mail of a request sent again.

    A mail that still waits in the outbox is not sent twice. Raises HandleLost or ResendTooSoon. A proven request is
    lost too: the visitor who proved it needs no mail, and nobody else may go on with it.
    """
    locked = CaptchaModel.objects.lock(sign_up)
    if locked is None or locked.proven_at:
        raise HandleLost
    user = User.objects.filter(email=locked.address).first()
    language = (user.language if user else "") or language
    waiting = outbox.lock_unsettled(sign_up=locked)
    in_flight = any(outbox.is_in_flight(each) for each in waiting)
    decoy = bool(user and user.is_registered)
    was_decoy = locked.decoy
    renewed = verification.renew(sign_up=locked, decoy=decoy, in_flight=in_flight)
    if renewed or locked.decoy != was_decoy:  # the mail that waits has another code, or says that there is an account
        outbox.supersede(deliveries=waiting)
    elif waiting and waiting[-1] == Delivery.objects.latest_about(locked):
        outbox.keep_waiting(delivery=waiting[-1], language=language)
        return Resent(is_new_code=False, waiting=waiting[-1])
    _post(locked, language, network)
    return Resent(is_new_code=renewed, waiting=None)


def prove(*, sign_up: CaptchaModel, address: str, code: str, proof: str = "") -> str:
    """
    Prove the mailbox by the typed code or the mail's link, as `verification.services.prove` does. If that raises
    CodeTooShort, a mail with a longer code is on its way.
    """
    try:
        return verification.prove(sign_up=sign_up, address=address, code=code, proof=proof)
    except CodeTooShort:
        _lengthen(sign_up)
        raise


@transaction.atomic
def _lengthen(sign_up: CaptchaModel) -> None:
    """
    Replace a code that became too short, by one more mail. The first of a day to a mailbox leaves at once, past the
    mail limit: its owner did nothing wrong. More of them count for the network that asked for the code.
    """
    locked = CaptchaModel.objects.lock(sign_up)
    if locked and verification.lengthen(sign_up=locked):
        Delivery.objects.advisory_lock([email_addresses.mailbox(locked.address)])  # one at a time per mailbox
        last = Delivery.objects.latest_about(locked)
        language, network = (last.language, last.network) if last else ("", "")
        is_first = not Delivery.objects.beside_limit(address=locked.address).exists()
        _post(locked, language, None if is_first else network)  # None: past the mail limit
    sign_up.refresh_from_db()


def register(*, sign_up: CaptchaModel, username: str, password: str, language: str, terms: str = "") -> User:
    """
    Redeem the proof of a request and activate its account, both or neither; return the account.

    `terms` is the text that the person accepted by this, if any; it is kept with the time.

    Raises HandleLost or AlreadyRedeemed (the proof was redeemed before), AlreadyRegistered (the address got an account
    by another request, or an operator disabled it) or UsernameTaken (or the name is reserved).
    """
    if usernames.is_reserved(username):
        raise UsernameTaken
    hashed = make_password(password)  # before the transaction: it takes longer than all of its statements
    try:
        with transaction.atomic():
            if not verification.redeem(sign_up=sign_up):
                sign_up.refresh_from_db()
                raise AlreadyRedeemed if sign_up.is_finished else HandleLost
            # A purge may have deleted the pending row.
            user = User.objects.select_for_update(no_key=True).get_or_create(email=sign_up.address)[0]
            if user.is_registered:
                raise AlreadyRegistered
            user.username = username
            user.password, user.language = hashed, language
            user.is_active, user.activated_at = True, clock.now()
            user.terms = terms
            user.terms_accepted_at = user.activated_at if terms else None
            user.save()
            password_changed(password, user)  # as Django does for `set_password`
            send_user_activated(user)
    except IntegrityError as error:  # by `username_key`; `email` can't collide, as its row is locked
        raise UsernameTaken from error
    return user


def _post(sign_up: CaptchaModel, language: str, network: str | None) -> None:
    kind = Delivery.Kind.REGISTERED if sign_up.decoy else Delivery.Kind.CODE
    outbox.post(kind=kind, recipient=sign_up.address, language=language, sign_up=sign_up, network=network)
