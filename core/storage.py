"""Where static files and messages are kept, and under which names."""

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """
    Names with a hash, for the files that `collectstatic` hashed and compressed. Any other file keeps its own name: in a
    checkout nothing is collected, and WhiteNoise serves files from where they stand.
    """

    def stored_name(self, name: str) -> str:
        try:
            stored: str = super().stored_name(name)
        except ValueError:  # it is not in the manifest
            return name
        return stored


class MessageStorage(CookieStorage):
    """Messages to the next page, in a cookie that only this host can set."""

    cookie_name = f"{settings.COOKIE_PREFIX}messages"
