"""From a row to its code and its link, by the key that made them: SECRET_KEY or one of SECRET_KEY_FALLBACKS."""

from django.conf import settings

from . import codes
from .models import CaptchaModel


def current_key_id() -> str:
    """The name of the key that makes new codes."""
    return codes.key_id(settings.SECRET_KEY)


def handle_for(*seeds: str) -> str:
    """Return the handle of a request that must not be made twice: the same for the same seeds, unguessable without."""
    return codes.handle(key=settings.SECRET_KEY, seed="|".join(seeds))


def code_of(captcha: CaptchaModel) -> str | None:
    """Return the code of a row; None once its key has left the settings."""
    key = _key_of(captcha)
    if key is None:
        return None
    return codes.derive(
        key=key,
        nonce=captcha.nonce,
        address=captcha.address,
        generation=captcha.generation,
        length=captcha.length,
    )


def link_proof_of(captcha: CaptchaModel) -> str | None:
    """Return the link proof of a row's current generation; None once its key has left the settings."""
    key = _key_of(captcha)
    if key is None:
        return None
    return codes.link_proof(key=key, handle=captcha.handle, nonce=captcha.nonce, generation=captcha.generation)


def reference_of(captcha: CaptchaModel, *, generation: int | None = None) -> str:
    """Return what tells the mails of a generation, the row's current one, from others; empty once its key has left."""
    key = _key_of(captcha)
    return codes.reference(key=key, handle=captcha.handle, generation=generation or captcha.generation) if key else ""


def link_token(captcha: CaptchaModel) -> str | None:
    """Return the token of the mail's link: the handle and its proof."""
    proof = link_proof_of(captcha)
    return f"{captcha.handle}.{proof}" if proof else None


def is_link_proof(captcha: CaptchaModel, link_proof: str) -> bool:
    """Whether a mail of this request, of the current generation or of an earlier one, had a link with this proof."""
    key = _key_of(captcha)
    if key is None:
        return False
    row = {"key": key, "handle": captcha.handle, "nonce": captcha.nonce}
    generations = range(captcha.generation, 0, -1)
    return any(codes.same(codes.link_proof(**row, generation=each), link_proof) for each in generations)


def split_link(token: str) -> tuple[str, str]:
    """Return the (handle, link proof) of a token, both unchecked."""
    handle, _, proof = token.partition(".")
    return handle, proof


def is_known(captcha: CaptchaModel) -> bool:
    """Whether the settings still hold the key of this row."""
    return _key_of(captcha) is not None


def _key_of(captcha: CaptchaModel) -> str | None:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return next((key for key in keys if codes.key_id(key) == captcha.key_id), None)
