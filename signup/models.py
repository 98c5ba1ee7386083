"""The account: its model, its queryset and manager, and when its sessions and API tokens end."""

import uuid
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import hashers
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.auth.password_validation import password_changed
from django.core import checks
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils.crypto import get_random_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken

from core import clock, email_addresses, languages
from worker.models import Delivery

from . import usernames
from .signals import send_user_activated

SALT_LENGTH = 12  # letters and digits: two disablings of an account never get the same

PENDING = Q(activated_at=None, is_active=False, is_staff=False)  # until the first proof; see `User.is_registered`


def username_taken() -> ValidationError:
    return ValidationError(_("That username is taken. Choose another"), code="username_taken")


class UserQuerySet(models.QuerySet["User"]):
    def pending(self) -> "UserQuerySet":
        """Accounts that wait for their first proof."""
        return self.filter(PENDING)

    def registered(self) -> "UserQuerySet":
        """All other accounts, active or disabled."""
        return self.exclude(PENDING)

    def proven(self) -> "UserQuerySet":
        """Accounts that may be active; see `User.is_proven`."""
        return self.filter(Q(is_active=True) | Q(activated_at__isnull=False, username__isnull=False))

    def resettable(self) -> "UserQuerySet":
        """Accounts whose owner may set a new password by a mail. One without any keeps its other ways to sign in."""
        return self.filter(is_active=True).exclude(password__startswith=hashers.UNUSABLE_PASSWORD_PREFIX)

    def named(self, username: str) -> "UserQuerySet":
        """The account whose username looks like this one."""
        return self.filter(username_key=usernames.key(username))

    def changeable_by(self, operator: Any) -> "UserQuerySet":
        """Accounts that an operator may change; see `User.is_changeable_by`."""
        return self if operator.is_superuser else self.exclude(Q(is_staff=True) | Q(is_superuser=True))

    def update(self, **values: Any) -> int:
        """Update the rows. A change of `is_active` ends the accounts' sessions, and deletes their API tokens."""
        if "is_active" not in values:
            return super().update(**values)
        salt = get_random_string(SALT_LENGTH)  # finds the rows again, which the filter may not after the update
        with transaction.atomic(using=self.db):
            rows = super().update(**values, session_salt=salt)
            AuthToken.objects.using(self.db).filter(user__session_salt=salt).delete()
        return rows


_Manager = BaseUserManager.from_queryset(UserQuerySet)


class UserManager(_Manager["User"]):  # type: ignore[valid-type] # django-stubs makes the type
    def lock_or_create(self, *, email: str) -> "User":
        """
        Return the row of an address, locked in this transaction; a new one is pending. Both cases run the same
        statements, so that the time does not show whether there was one.
        """
        new = self.model(email=email)
        while True:
            self.bulk_create([new], ignore_conflicts=True)
            if user := self.select_for_update(no_key=True).filter(email=new.email).first():
                return user  # else a purge deleted it in between

    def lock_active(self, user: "User") -> "User | None":
        """Return the row of an account as it is now, locked in this transaction; None if it was disabled or deleted."""
        return self.select_for_update(no_key=True).filter(pk=user.pk, is_active=True).first()

    def create_user(
        self, username: str | None = None, email: str | None = None, password: str | None = None, **extra: Any
    ) -> "User":
        """
        Create an account that needs no code, because an operator vouches for it. The arguments are those of Django's
        own user. Without a username it is what stands before the @ of the address.
        """
        address = email_addresses.canonical(email or "")
        name = usernames.clean(username or address.partition("@")[0])
        if self.named(name).exists():
            raise username_taken()
        if self.registered().filter(email=address).exists():
            raise ValidationError(_("This email address is already registered"), code="email_registered")
        columns: dict[str, Any] = {"is_active": True, "activated_at": clock.now(), **extra}
        columns |= {"username": name, "password": hashers.make_password(password)}
        # Only a pending row is taken over, of a sign-up that somebody began with this address.
        user = self.pending().update_or_create(email=address, defaults=columns)[0]
        if password is not None:
            password_changed(password, user)  # as Django does for `set_password`
        if user.is_active:
            send_user_activated(user)
        return user

    def create_superuser(self, *args: Any, **fields: Any) -> "User":
        return self.create_user(*args, **{"is_staff": True, "is_superuser": True, **fields})

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the registered account with this email address or username, in any case."""
        name = self.canonical_name(username or "")
        return self.registered().get(**{"email" if "@" in name else "username_key": name})

    def canonical_name(self, name: str) -> str:
        """Return the canonical form of an email address or username. Raises ValidationError for a bad address."""
        return email_addresses.canonical(name) if "@" in name else usernames.key(name)


class AddressField(models.EmailField):  # type: ignore[type-arg]
    """An email address. The forms of the admin, and commands, clean it into its canonical form."""

    default_validators = []  # Django's refuses addresses that EMAIL_ALLOW_LOOSE_DOTS allows

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        return super().clean(email_addresses.canonical(value) if value else value, model_instance)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Called by `bulk_create` too. An address that the settings no longer allow stays as it is."""
        address = super().pre_save(model_instance, add)
        address = email_addresses.canonical_or_none(address) or address
        setattr(model_instance, self.attname, address)
        return address

    def deconstruct(self) -> Any:
        """The column is that of an EmailField."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.EmailField", args, kwargs


class UsernameField(models.CharField):  # type: ignore[type-arg]
    """A username. Forms of models, and commands, clean it into the form in which it is shown."""

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        return super().clean(usernames.clean(value) if value else value, model_instance)

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        """Called by `bulk_create` too. Set the account's key, whose column is written after this one."""
        username = super().pre_save(model_instance, add)
        model_instance.username_key = usernames.key(username) if username else None
        return username

    def deconstruct(self) -> Any:
        """The column is that of a CharField."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


class User(AbstractBaseUser, PermissionsMixin):
    """An account. Until its mailbox is proven it is inactive and has no username."""

    # The account's id for API clients: the primary key would tell them how many accounts there are.
    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    email = AddressField(_("email address"), max_length=email_addresses.MAX_LENGTH, unique=True)  # canonical
    # Null until activation: nobody can take a name without proving a mailbox.
    username = UsernameField(_("username"), max_length=usernames.MAX_LENGTH, null=True, blank=True)
    username_key = models.CharField(max_length=usernames.KEY_LENGTH, unique=True, null=True, editable=False)  # noqa: DJ001
    password = models.CharField(_("password"), max_length=128, default=hashers.UNUSABLE_PASSWORD_PREFIX)
    language = models.CharField(_("language"), max_length=languages.MAX_LENGTH, blank=True)
    is_active = models.BooleanField(_("active"), default=False)
    is_staff = models.BooleanField(_("staff"), default=False)
    created_at = models.DateTimeField(_("created"), default=clock.now)
    activated_at = models.DateTimeField(_("activated"), null=True, blank=True)
    # The text of the terms next to the button (templates/brand/terms.html); empty if the site has none.
    terms = models.TextField(_("accepted terms"), blank=True, default="", db_default="")
    terms_accepted_at = models.DateTimeField(_("terms accepted"), null=True, blank=True)
    # Part of the session hash, and no secret. A new value ends the account's sessions and reset links.
    session_salt = models.CharField(max_length=SALT_LENGTH, default="", db_default="", editable=False)

    objects = UserManager()
    _has_new_password = False  # or none any more, since the last save

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["username"]

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        indexes = [
            models.Index(fields=["-id"], condition=Q(is_active=False), name="user_inactive"),
            models.Index(fields=["-id"], condition=Q(is_staff=True), name="user_staff"),
        ]

    def __str__(self) -> str:
        return str(self.username or self.email)

    @classmethod
    def check(cls, **kwargs: Any) -> list[checks.CheckMessage]:
        """Django's checks, and that no other app's rows keep people from deleting their account."""
        found = super().check(**kwargs)
        for relation in _protecting(cls, {cls}):
            text = gettext("People who have such a row can't delete their account")
            hint = gettext("Use CASCADE or SET_NULL")
            found.append(checks.Warning(text, hint=hint, obj=relation.field, id="doorcode.W010"))
        return found

    def validate_unique(self, exclude: Collection[str] | None = None) -> None:
        """Django's, and that no other account's username looks like this one."""
        super().validate_unique(exclude)
        is_left_out = exclude is not None and "username" in exclude
        if self.username and not is_left_out and User.objects.named(self.username).exclude(pk=self.pk).exists():
            raise ValidationError({"username": username_taken()})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """
        Save the row, an address in its canonical form and a username with its key. A new password, no password or
        disabling delete the API tokens. They end the sessions, too, whose hash is made of password and `session_salt`.
        """
        is_partial = kwargs.get("update_fields") is not None
        columns = set(kwargs["update_fields"] if is_partial else ("is_active",))
        if "username" in columns:  # a full save writes the key anyway
            columns.add("username_key")
        is_disabled = self.pk is not None and not self.is_active and "is_active" in columns
        if is_disabled:
            self.session_salt = get_random_string(SALT_LENGTH)
            columns.add("session_salt")
        if is_partial:
            kwargs["update_fields"] = columns
        ends_tokens = is_disabled or (self._has_new_password and self.pk is not None)
        with transaction.atomic() if ends_tokens else nullcontext():  # one statement needs no transaction
            super().save(*args, **kwargs)
            if ends_tokens:
                AuthToken.objects.filter(user=self).delete()
        self._has_new_password = False

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the row and its related rows; locked first, or a mail that is posted meanwhile would be left."""
        with transaction.atomic():
            User.objects.select_for_update().filter(pk=self.pk).first()
            resets = Delivery.objects.filter(kind=Delivery.Kind.PASSWORD_RESET, recipient=self.email)
            mails = resets | Delivery.objects.filter(user=self)
            # In the order in which the worker records its mails: else the two may wait for each other.
            list(mails.select_for_update().order_by("pk").values_list("pk"))
            resets.delete()
            return super().delete(*args, **kwargs)

    def check_password(self, raw_password: str) -> bool:
        """
        Django's, but a hash that is upgraded replaces the one that was checked and no other: the owner may have set a
        new password meanwhile, which then decides.
        """
        checked = self.password

        def upgrade(password: str) -> None:
            User.objects.filter(pk=self.pk, password=checked).update(password=hashers.make_password(password))
            self.refresh_from_db(fields=["password"])

        if not hashers.check_password(raw_password, checked, upgrade):
            return False
        return self.password == checked or hashers.check_password(raw_password, self.password)

    async def acheck_password(self, raw_password: str) -> bool:
        return await sync_to_async(self.check_password)(raw_password)

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(raw_password)
        self._has_new_password = True

    def set_unusable_password(self) -> None:
        self.set_password(None)

    def get_session_auth_hash(self) -> str:
        """Each session of the account carries this hash; a session with another one has ended."""
        return super().get_session_auth_hash() + self.session_salt

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """The same for the keys in SECRET_KEY_FALLBACKS."""
        for value in super().get_session_auth_fallback_hash():
            yield value + self.session_salt

    @property
    def is_registered(self) -> bool:
        """Whether the address has an account, active or disabled. Else its row is pending: see PENDING."""
        return bool(self.activated_at or self.is_active or self.is_staff)

    @property
    def is_in_log(self) -> bool:
        """Whether the admin's log refers to the account, as it is or was an operator's: the log would go with it."""
        return self.is_staff or self.logentry_set.exists()

    @property
    def is_proven(self) -> bool:
        """
        Whether somebody has proven the mailbox, or an operator vouches for it. An account that was disabled while it
        was pending is registered and not proven: it has no username.
        """
        return self.is_active or bool(self.activated_at and self.username)

    def is_changeable_by(self, operator: Any) -> bool:
        """Whether an operator may change the account. Only a superuser changes one that has rights in the admin."""
        return operator.is_superuser or not (self.is_staff or self.is_superuser)


def _protecting(model: Any, cascading: set[Any]) -> Iterator[Any]:
    """Yield the relations that keep a model's rows, and those that are deleted with them, from being deleted."""
    for relation in model._meta.get_fields(include_hidden=True):
        rule = getattr(relation, "on_delete", None) if relation.auto_created else None
        # RESTRICT lets rows go that are deleted by another way too, as those below the first may be.
        if rule is models.PROTECT or (rule is models.RESTRICT and model is User):
            yield relation
        elif rule is models.CASCADE and relation.related_model not in cascading:
            cascading.add(relation.related_model)
            yield from _protecting(relation.related_model, cascading)
