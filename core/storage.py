"""Storage backends: static files, and messages to the next page."""

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """
    Names with a hash for the files that `collectstatic` hashed and compressed; any other file keeps its own name. In a
    checkout nothing is collected, and WhiteNoise serves files from their source folders.
    """

    def stored_name(self, name: str) -> str:
        try:
            stored: str = super().stored_name(name)
        except ValueError:  # not in the manifest
            return name
        return stored


class MessageStorage(CookieStorage):
    """Messages in a cookie that only this host can set."""

    cookie_name = f"{settings.COOKIE_PREFIX}messages"
