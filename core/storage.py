"""Storage backends: static files, and messages to the next page."""

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """Puts a hash into the names of collected files. Other files keep their names, as all files of a checkout do."""

    def stored_name(self, name: str) -> str:
        try:
            return str(super().stored_name(name))
        except ValueError:  # not in the manifest
            return name


class MessageStorage(CookieStorage):
    """Messages in a cookie that only this host can set."""

    cookie_name = f"{settings.COOKIE_PREFIX}messages"
