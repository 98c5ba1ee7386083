"""Django's sessions in the database, written once: a sign-in inserts its row when the answer leaves, and not before."""

from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.utils.crypto import get_random_string

from core import statements


class SessionStore(db.SessionStore):
    """
    Django's own asks whether a new key is free, inserts an empty row for it, and updates that a moment later. A key has
    165 bits of chance: nobody has it, and if somebody did, the insert would fail.
    """

    _is_new = False

    def create(self) -> None:
        self._session_key = get_random_string(32, VALID_KEY_CHARS)
        self._is_new = self.modified = True

    def save(self, must_create: bool = False) -> Any:
        if self.session_key is None:
            self.create()
        if self._is_new:
            held = self._get_session(no_load=True)  # type: ignore[attr-defined]
            statements.insert(self.create_model_instance(held))
        else:
            super().save(must_create=must_create)
        self._is_new = False
