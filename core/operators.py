"""Speak to whoever runs a command in their own language."""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import translation


def language() -> str:
    """The operator's language by the locale of the shell (LC_ALL, LC_MESSAGES, LANG), else LANGUAGE_CODE."""
    name = next((os.environ[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(key)), "")
    try:
        tag = translation.to_language(name.partition(".")[0].partition("@")[0])
        return translation.get_supported_language_variant(tag)
    except LookupError:
        return str(settings.LANGUAGE_CODE)


class Command(BaseCommand):
    """A management command whose help and output follow the operator's locale."""

    def describe(self) -> str:
        """What the command is for, translated: `help` as a class attribute would be too early to know the locale."""
        raise NotImplementedError

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        with translation.override(language()):
            self.help = self.describe()
            return super().create_parser(prog_name, subcommand, **kwargs)

    def execute(self, *args: Any, **options: Any) -> str | None:
        with translation.override(language()):
            return super().execute(*args, **options)
