"""An operator for the tests of the admin."""

import pytest
from django.test import Client

from tests.factories import make_user


@pytest.fixture
def admin(db, client: Client) -> Client:
    """A superuser who is signed in."""
    client.force_login(make_user("root", "root@example.com", is_staff=True, is_superuser=True))
    return client
