"""The account."""

from collections.abc import Iterator
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils.crypto import get_random_string
from django.utils.translation import gettext_lazy as _
from knox.models import get_token_model

from core import clock, email_addresses

from . import usernames

UNUSABLE_PASSWORD = "!"  # noqa: S105 - Django's prefix of passwords that never match
SALT_LENGTH = 12  # letters and digits: two disablings of an account never get the same

PENDING = Q(activated_at=None, is_active=False, is_staff=False)
PRIVILEGED = Q(is_staff=True) | Q(is_superuser=True)
PROVEN = Q(is_active=True) | Q(activated_at__isnull=False, username__isnull=False)


class UserQuerySet(models.QuerySet["User"]):
    def pending(self) -> "UserQuerySet":
        """Accounts that wait for their first proof. Everything else is *registered*, whether active or disabled."""
        return self.filter(PENDING)

    def proven(self) -> "UserQuerySet":
        """Accounts that may be active; see `User.is_proven`."""
        return self.filter(PROVEN)

    def ordinary(self) -> "UserQuerySet":
        """Accounts that others than superusers may change; see `User.is_privileged`."""
        return self.exclude(PRIVILEGED)

    def activate(self, **values: Any) -> int:
        """Update rows of pending accounts: they have neither sessions nor tokens that `update` would end."""
        return super().update(**values)

    def update(self, **values: Any) -> int:
        """Update the rows. Disabling and activating end the sessions of accounts, and delete their API tokens."""
        if "is_active" not in values:
            return super().update(**values)
        salt = get_random_string(SALT_LENGTH)
        with transaction.atomic(using=self.db):
            rows = super().update(**values, session_salt=salt)
            get_token_model().objects.using(self.db).filter(user__session_salt=salt).delete()
        return rows


class UserManager(BaseUserManager["User"]):
    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def pending(self) -> UserQuerySet:
        return self.get_queryset().pending()

    def lock_or_create(self, *, email: str) -> "User":
        """
        Return the row of a canonical address, locked; a new one is pending. The same statements run for every address.
        Needs a transaction.
        """
        while True:
            self.bulk_create([self.model(email=email)], ignore_conflicts=True)
            user = self.get_queryset().select_for_update(no_key=True).filter(email=email).first()
            if user:  # else a purge took it in between
                return user

    @transaction.atomic
    def create_user(self, *, email: str, username: str, password: str | None = None, **extra: Any) -> "User":
        """Create an account that needs no code: somebody with authority vouches for it."""
        address, name = email_addresses.canonical(email), usernames.clean(username)
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
        return email_addresses.canonical(name) if "@" in name else usernames.key(name)


class User(AbstractBaseUser, PermissionsMixin):
    """An account: inactive and nameless until its mailbox is proven."""

    email = models.EmailField(_("email address"), max_length=email_addresses.MAX_LENGTH, unique=True)  # canonical
    # Null until activation: a name belongs to nobody before a mailbox is proven.
    username = models.CharField(_("username"), max_length=usernames.MAX_LENGTH, null=True, blank=True)  # noqa: DJ001
    username_key = models.CharField(max_length=usernames.MAX_LENGTH * 3, unique=True, null=True, editable=False)  # noqa: DJ001
    password = models.CharField(_("password"), max_length=128, default=UNUSABLE_PASSWORD)
    language = models.CharField(_("language"), max_length=16, blank=True)
    is_active = models.BooleanField(_("active"), default=False)
    is_staff = models.BooleanField(_("staff"), default=False)
    created_at = models.DateTimeField(_("created"), default=clock.now)
    activated_at = models.DateTimeField(_("activated"), null=True, blank=True)
    # Part of what sessions and reset links are checked against, and no secret. A new value ends them.
    session_salt = models.CharField(max_length=SALT_LENGTH, default="", db_default="", editable=False)

    objects = UserManager()
    _password_removed = False  # and not saved yet

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
        """Save the row. Another password, none, and disabling end the account's sessions, and delete its API tokens."""
        written = kwargs.get("update_fields")
        disabled = self.pk is not None and not self.is_active and (written is None or "is_active" in written)
        if disabled:
            self.session_salt = get_random_string(SALT_LENGTH)
            kwargs["update_fields"] = written and {*written, "session_salt"}
        renewed = self._password is not None or self._password_removed  # type: ignore[attr-defined]
        ended = self.pk is not None and (renewed or disabled)
        with transaction.atomic():
            super().save(*args, **kwargs)
            if ended:
                get_token_model().objects.filter(user=self).delete()
        self._password_removed = False

    def set_unusable_password(self) -> None:
        super().set_unusable_password()
        self._password_removed = True

    def get_session_auth_hash(self) -> str:
        """What each of the account's sessions carries: one with another value has ended."""
        return super().get_session_auth_hash() + self.session_salt

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """The same for the keys that are being rotated out."""
        for value in super().get_session_auth_fallback_hash():
            yield value + self.session_salt

    @property
    def is_registered(self) -> bool:
        """False only while the account waits for its first proof."""
        return bool(self.activated_at or self.is_active or self.is_staff)

    @property
    def is_privileged(self) -> bool:
        """Whether the account has rights in the admin, so that only a superuser may change it."""
        return self.is_staff or self.is_superuser

    @property
    def is_proven(self) -> bool:
        """
        Whether somebody has proven the mailbox, or an operator vouches for it.

        An account that was disabled while it waited for its proof is registered and not proven: it has no username.
        """
        return self.is_active or bool(self.activated_at and self.username)
