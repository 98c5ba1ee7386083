"""Django's admin for operators. No code, nonce, handle or key is ever shown."""

from . import accounts, mails, signups  # noqa: F401 - each registers its pages
