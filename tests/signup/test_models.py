"""The definitions that exist as a query and as a property."""

from itertools import product

import pytest

from core import clock
from signup.models import User
from tests.factories import ALICE

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("activated", "active", "staff", "superuser", "named"),
    list(product([False, True], repeat=5)),
    ids=lambda value: f"{value:d}",
)
def test_queries_and_properties_agree(activated: bool, active: bool, staff: bool, superuser: bool, named: bool) -> None:
    """Pending, proven and changeable accounts, for any row."""
    user = User.objects.create(
        email=ALICE,
        username="alice" if named else None,
        activated_at=clock.now() if activated else None,
        is_active=active,
        is_staff=staff,
        is_superuser=superuser,
    )
    assert User.objects.registered().exists() == user.is_registered
    assert User.objects.pending().exists() != user.is_registered
    assert User.objects.proven().exists() == user.is_proven
    for operator in (User(), User(is_superuser=True)):
        assert User.objects.changeable_by(operator).exists() == user.is_changeable_by(operator)
