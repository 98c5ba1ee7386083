"""The account."""

from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from knox.models import get_token_model

from core import addresses, clock

from . import usernames

UNUSABLE_PASSWORD = "!"  # noqa: S105 - Django's prefix of passwords that never match


class UserManager(BaseUserManager["User"]):
    @transaction.atomic
    def create_user(self, *, email: str, username: str, password: str | None = None, **extra: Any) -> "User":
        """Create an account that needs no code: somebody with authority vouches for it."""
        address, name = addresses.canonical(email), usernames.clean(username)
        if self.filter(username_key=usernames.key(name)).exists():
            raise ValidationError(_("That username is taken. Choose another"), code="username_taken")
        # Somebody may have begun a sign-up with this address, and stands in nobody's way.
        user = self.pending().select_for_update().filter(email=address).first() or self.model(email=address)
        columns = {"username": name, "username_key": usernames.key(name), "password": make_password(password)}
        for field, value in {**columns, "is_active": True, "activated_at": clock.now(), **extra}.items():
            setattr(user, field, value)
        user.save(using=self._db)
        return user

    def create_superuser(self, *, email: str, username: str, password: str | None = None, **extra: Any) -> "User":
        return self.create_user(
            email=email, username=username, password=password, is_staff=True, is_superuser=True, **extra
        )

    def get_by_natural_key(self, username: str | None) -> "User":
        """Find a registered account by what a person calls it: email address or username, in any case."""
        name = self.natural_key(username or "")
        return self.exclude(PENDING).get(**{"email" if "@" in name else "username_key": name})

    def natural_key(self, name: str) -> str:
        """Fold what a person calls an account. Raises ValidationError for what no address can be."""
        return addresses.canonical(name) if "@" in name else usernames.key(name)

    def pending(self) -> "models.QuerySet[User]":
        """Accounts that wait for their first proof. Everything else is *registered*, whether active or disabled."""
        return self.filter(PENDING)


PENDING = Q(activated_at=None, is_active=False, is_staff=False)
STILL_PENDING = "signup_user.activated_at IS NULL AND NOT signup_user.is_active AND NOT signup_user.is_staff"  # as SQL


class User(AbstractBaseUser, PermissionsMixin):
    """An account: inactive and nameless until its mailbox is proven."""

    email = models.EmailField(_("email address"), max_length=addresses.MAX_LENGTH, unique=True)  # canonical
    # Null until activation: a name belongs to nobody before a mailbox is proven.
    username = models.CharField(_("username"), max_length=usernames.MAX_LENGTH, null=True, blank=True)  # noqa: DJ001
    username_key = models.CharField(max_length=usernames.MAX_LENGTH * 3, unique=True, null=True, editable=False)  # noqa: DJ001
    password = models.CharField(_("password"), max_length=128, default=UNUSABLE_PASSWORD)
    language = models.CharField(_("language"), max_length=16, blank=True)
    is_active = models.BooleanField(_("active"), default=False)
    is_staff = models.BooleanField(_("staff"), default=False)
    created_at = models.DateTimeField(_("created"), default=clock.now)
    activated_at = models.DateTimeField(_("activated"), null=True, blank=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["username"]

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        indexes = [
            models.Index(fields=["-id"], condition=Q(is_active=False), name="user_inactive"),
            models.Index(fields=["-id"], condition=Q(is_staff=True), name="user_staff"),
        ]

    def __str__(self) -> str:
        return self.username or self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A new password, whoever set it, takes back the API tokens of the old one, as it ends the sessions."""
        renewed = self.pk is not None and self._password is not None  # type: ignore[attr-defined]
        with transaction.atomic():
            super().save(*args, **kwargs)
            if renewed:
                get_token_model().objects.filter(user=self).delete()

    @property
    def is_registered(self) -> bool:
        """False only while the account waits for its first proof."""
        return bool(self.activated_at or self.is_active or self.is_staff)
