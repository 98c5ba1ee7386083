"""The docs list the arguments of all commands; the shared options work in each."""

import argparse
import io
import os
import re
import shlex
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import InterfaceError, InternalError, NotSupportedError, OperationalError, ProgrammingError

from core.management import base
from tests.factories import ALICE
from tests.servers import ENVIRONMENT, ROOT

APPS = ("core", "verification", "worker", "signup")
COMMANDS = {name: app for name, app in get_commands().items() if app in APPS}
PAGE = (ROOT / "docs" / "reference" / "commands.md").read_text()
DJANGOS = {
    "--help",
    "--version",
    "--verbosity",
    "--settings",
    "--pythonpath",
    "--traceback",
    "--no-color",
    "--force-color",
    "--skip-checks",
}


def options(name: str) -> dict[str, argparse.Action]:
    """The arguments of a command: options by their longest spelling, positional ones by their name."""
    parser = load_command_class(COMMANDS[name], name).create_parser("manage.py", name)
    found = {
        max([*each.option_strings, each.dest if not each.option_strings else ""], key=len): each
        for each in parser._actions
    }
    return {name: each for name, each in found.items() if name not in DJANGOS}


def test_the_page_has_every_command_and_no_other() -> None:
    """By name."""
    assert set(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_every_option_and_no_other(name: str) -> None:
    """As its parser has them."""
    section = re.split(rf"^## {name}$", PAGE, flags=re.MULTILINE)[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)) == set(options(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained_in_each_language(name: str, monkeypatch) -> None:
    """And the command itself."""
    for locale in ("en_US.UTF-8", "zh_CN.UTF-8", "zh_TW.UTF-8"):
        monkeypatch.setenv("LC_ALL", locale)
        texts = [each.help for each in options(name).values()]
        command = load_command_class(COMMANDS[name], name)
        texts.append(command.create_parser("manage.py", name).description)
        assert all(texts)
        if locale.startswith("zh") and name != "preview_mail":
            assert all(re.search(r"[一-鿿]", text) for text in texts)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "goes_on"), [("y\n", True), ("yes\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_a_terminal_is_asked(monkeypatch, answer: str, goes_on: bool) -> None:
    """Only yes means yes."""
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", Terminal())
    command = base.Command()
    if goes_on:
        command.confirm({"yes": False}, "Really?")
    else:
        with pytest.raises(CommandError):
            command.confirm({"yes": False}, "Really?")
    command.confirm({"yes": True}, "Really?")


def test_a_script_is_not_asked(monkeypatch) -> None:
    """It would wait without end."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    base.Command().confirm({"yes": False}, "Really?")


def test_progress_is_for_a_terminal(monkeypatch) -> None:
    """A log needs no carriage returns."""
    for stream, shown in ((Terminal(), "2 / 2"), (io.StringIO(), "")):
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(base.Command(stderr=stream).progress([7, 8], total=2)) == [7, 8]
        assert shown in stream.getvalue()
        assert bool(stream.getvalue()) == bool(shown)


def test_an_argument_that_cant_be_read_is_explained_in_the_operators_language(monkeypatch, capsys) -> None:
    """By the shell's locale: the arguments are read before --lang is known."""
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    with pytest.raises(SystemExit) as stopped:
        load_command_class("signup", "unlock").run_from_argv(["manage.py", "unlock", "alice"])
    assert stopped.value.code == 2
    assert "邮箱" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [OperationalError, ProgrammingError, InterfaceError, InternalError, NotSupportedError]
)
def test_a_database_that_cant_be_used_is_one_sentence(monkeypatch, error: type[Exception]) -> None:
    """No traceback; without the secrets and addresses in its text. It is down, not migrated, read-only, or too old."""

    def handle(self, *args: object, **options: object) -> None:
        raise error("postgres://doorcode:hunter2@10.0.0.1\nof alice@example.com")

    monkeypatch.setattr(load_command_class("signup", "stats").__class__, "handle", handle)
    with pytest.raises(CommandError, match=r"^The database can't be used: \S+ of address-\w+\. See manage.py doctor$"):
        call_command("stats")


def test_lang_chooses_the_language(db, capsys) -> None:
    """Whatever the shell's locale; and a language that we lack is an error."""
    call_command("stats", "--lang", "zh-CN")
    assert "申请验证码: 0" in capsys.readouterr().out
    with pytest.raises(CommandError, match="zh-hans"):
        call_command("stats", "--lang", "tlh")


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh-hans"),
        ({"LANG": "zh_TW.UTF-8"}, "zh-hant"),
        ({"LANG": "zh_Hant_HK.UTF-8"}, "zh-hant"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE@euro"}, "en"),
        ({"LC_ALL": "zh_CN", "LANG": "en_US"}, "zh-hans"),
        ({}, "en"),
    ],
)
def test_the_locale_decides(monkeypatch, environment: dict[str, str], language: str) -> None:
    """LC_ALL before LC_MESSAGES before LANG; English where the catalogue lacks the language."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert base.language() == language


def test_ctrl_c_ends_a_command_without_a_traceback(monkeypatch) -> None:
    """With the exit code of shells, so that a script stops too."""

    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    for name, app in COMMANDS.items():
        command = load_command_class(app, name)
        monkeypatch.setattr(command, "handle", interrupted)
        words = {"changepassword": "ann", "preview_mail": "code", "resend": ALICE, "unlock": ALICE}
        given = [words[name]] if name in words else []
        with pytest.raises(SystemExit) as ended:
            command.run_from_argv(["manage.py", name, *given])
        assert ended.value.code == 130


def test_a_character_that_the_terminal_lacks_ends_no_command() -> None:
    """LANG=en_US without .UTF-8 is Latin-1."""
    env = {**ENVIRONMENT, "PYTHONIOENCODING": "latin-1", "DEBUG": "true"}
    command = [sys.executable, "manage.py", "preview_mail", "code", "--lang", "zh-hans"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True)
    assert (done.returncode, done.stdout.splitlines()[0][:9]) == (0, b"Subject: ")


def test_a_reader_that_has_enough_ends_a_command_without_a_traceback() -> None:
    """Such as `| head` and `| grep -q`, which close the pipe."""
    command = [sys.executable, "manage.py", "preview_mail", "code"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**ENVIRONMENT, "DEBUG": "true"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full, as Linux has it")
def test_a_full_disk_ends_a_command_without_a_traceback() -> None:
    """That of the file into which its output goes."""
    command = [sys.executable, "manage.py", "preview_mail", "code"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, cwd=ROOT, env={**ENVIRONMENT, "DEBUG": "true"}, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (1, "[Errno 28] No space left on device\n")


def test_a_closed_stream_is_like_an_empty_one(tmp_path) -> None:
    """Some daemons start their jobs so; it is a script that is not asked, and Python has None for the stream."""
    env = {**ENVIRONMENT, "DEBUG": "true", "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    manage = shlex.join([sys.executable, "manage.py"])
    commands = [f"{manage} migrate -v0"]
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        commands += [f"{manage} purge {closed}", f"{manage} bounce --json {closed}"]
    done = subprocess.run(["sh", "-xc", " && ".join(commands)], cwd=ROOT, env=env, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if not line.startswith("+ ")]  # by -x: which command it was
    assert (done.returncode, said) == (0, []), done.stderr
