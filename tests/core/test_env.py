"""Reading the environment."""

import os

import pytest
from django.core.exceptions import ImproperlyConfigured

from core.env import Env


@pytest.mark.parametrize(
    ("text", "length"), [("90", 90), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), (" 30 d ", 2_592_000)]
)
def test_units_are_read(monkeypatch, text: str, length: int) -> None:
    """Seconds where there is none."""
    monkeypatch.setenv("PAUSE", text)
    assert Env().duration("PAUSE", default="1s") == length


@pytest.mark.parametrize("text", ["d", "1w", "-1h", "1.5h", "24 hours"])
def test_anything_else_refuses_to_start(monkeypatch, text: str) -> None:
    """With a word on how to write it."""
    monkeypatch.setenv("PAUSE", text)
    with pytest.raises(ImproperlyConfigured, match="PAUSE must be a time like"):
        Env().duration("PAUSE", default="1s")


def test_a_dollar_is_a_dollar(monkeypatch) -> None:
    """A random key may begin with one, and hold more."""
    monkeypatch.setenv("KEY", r"$a\$b$$")
    assert Env().str("KEY", default="") == r"$a\$b$$"
    monkeypatch.setenv("KEYS", "$a, ,b$ ")
    assert Env().names("KEYS") == ["$a", "b$"]


def test_the_entries_of_a_list_may_stand_in_lines(monkeypatch) -> None:
    """As former keys in a file do: joined, they would open nothing."""
    monkeypatch.setenv("KEYS", "first\nsecond, third\r\n")
    assert Env().names("KEYS") == ["first", "second", "third"]


def test_an_empty_variable_is_like_an_unset_one(monkeypatch) -> None:
    """A compose file passes on all variables."""
    monkeypatch.setenv("NUMBER", " ")
    assert Env().int("NUMBER", default=7) == 7
    assert Env().names("NUMBER") == []


def test_bytes_of_another_encoding_refuse_to_start(monkeypatch) -> None:
    """Python has them as surrogates, which no page can show and no key can sign with: each request was an error."""
    monkeypatch.setenv("NAME", os.fsdecode("学校示例".encode("gbk")))
    for read in (Env().str, Env().names, Env().mail_addresses):
        with pytest.raises(ImproperlyConfigured, match="NAME can't be read"):
            read("NAME")


def test_the_error_names_the_variable_of_a_bad_number(monkeypatch) -> None:
    """The error has the name of the variable."""
    monkeypatch.setenv("NUMBER", "x")
    with pytest.raises(ImproperlyConfigured, match="NUMBER can't be read"):
        Env().int("NUMBER", default=1)


@pytest.mark.parametrize(
    ("text", "value"), [("TRUE", True), (" yes\n", True), ("on", True), ("1", True), ("Off", False)]
)
def test_a_boolean_may_be_written_in_a_few_ways(monkeypatch, text: str, value: bool) -> None:
    """With spaces around it too, as in a file of variables."""
    monkeypatch.setenv("OPEN", text)
    assert Env().bool("OPEN", default=not value) is value


@pytest.mark.parametrize("text", ["flase", "enabled", "t", '"true"', "是", "2"])
def test_a_mistyped_boolean_refuses_to_start(monkeypatch, text: str) -> None:
    """It would be false, and close sign-up or a protection without a word."""
    monkeypatch.setenv("OPEN", text)
    with pytest.raises(ImproperlyConfigured, match=r"OPEN can't be read .*: true / false"):
        Env().bool("OPEN", default=True)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        ("int", "99999999999"),
        ("int", "-99999999999"),
        ("duration", "1000000d"),
        ("rates", "9999999999/m"),
        ("rates", "1/1000000d"),
        ("tiers", "9999999999:8"),
    ],
)
def test_a_number_that_no_date_can_hold_refuses_to_start(monkeypatch, read: str, text: str) -> None:
    """Else the first sign-up or purge would fail. 68 years of seconds are possible."""
    monkeypatch.setenv("NUMBER", text)
    with pytest.raises(ImproperlyConfigured, match=r"NUMBER.* 2147483647"):
        getattr(Env(), read)("NUMBER", default="")
    monkeypatch.setenv("NUMBER", "2147483647")
    assert Env().int("NUMBER", default=1) == Env().duration("NUMBER", default="1s") == 2**31 - 1


@pytest.mark.parametrize(
    ("read", "text"), [("int", "{}"), ("duration", "{}h"), ("rates", "{}/m"), ("rates", "1/{}m"), ("tiers", "{}:8")]
)
def test_a_number_that_python_refuses_to_read_names_its_variable(monkeypatch, read: str, text: str) -> None:
    """It takes no more than 4,300 digits."""
    monkeypatch.setenv("NUMBER", text.format("9" * 5_000))
    with pytest.raises(ImproperlyConfigured, match=r"^NUMBER "):
        getattr(Env(), read)("NUMBER", default="")


def test_spaces_around_a_value_are_no_part_of_it(monkeypatch) -> None:
    """Links in mails would have them in the middle, and no request could send such a token."""
    monkeypatch.setenv("SITE_URL", " https://a.example\n")
    assert Env().str("SITE_URL", default="") == "https://a.example"


@pytest.mark.parametrize(
    ("text", "rates"),
    [("60/2m,200/h", [(60, 120), (200, 3_600)]), ("1/60s , 5/5m", [(1, 60), (5, 300)]), ("", []), (" ", [])],
)
def test_rates_are_a_number_in_a_time(monkeypatch, text: str, rates: list) -> None:
    """An empty variable switches the limit off."""
    monkeypatch.setenv("LIMIT", text)
    assert Env().rates("LIMIT", default="1/s") == rates


@pytest.mark.parametrize("text", ["30", "0/m", "5/0m", "x/h", "5/h/h", "5/w", "-1/m"])
def test_a_malformed_rate_refuses_to_start(monkeypatch, text: str) -> None:
    """With a word on how to write it."""
    monkeypatch.setenv("LIMIT", text)
    with pytest.raises(ImproperlyConfigured, match="LIMIT must be rates like"):
        Env().rates("LIMIT", default="")


def test_tiers_are_guesses_and_digits(monkeypatch) -> None:
    """`link` stands for no digits at all."""
    assert Env().tiers("LIMIT", default="9:8,100:link") == [(9, 8), (100, None)]
    for text in ("9", "9:3", "9:11", "x:8", "0:8", "00:link"):
        monkeypatch.setenv("LIMIT", text)
        with pytest.raises(ImproperlyConfigured, match="LIMIT must be tiers like"):
            Env().tiers("LIMIT", default="")


@pytest.mark.parametrize("text", ["[", "[5]", '["a", null]'])
def test_a_malformed_list_of_keys_refuses_to_start(monkeypatch, text: str) -> None:
    """With a word on how to write it, and never with a key."""
    monkeypatch.setenv("KEYS", text)
    with pytest.raises(ImproperlyConfigured, match="KEYS must be a list like"):
        Env().former_keys("KEYS", debug=False)


@pytest.mark.parametrize("secret", ["mail", "mail:", ":a-password-of-16-", "mail:a-password-of-1"])
def test_a_password_of_webhooks_that_could_be_guessed_refuses_to_start(monkeypatch, secret: str) -> None:
    """By the variable's name, and never with the password."""
    monkeypatch.setenv("SECRET", secret)
    with pytest.raises(ImproperlyConfigured, match="SECRET must be user:password") as error:
        Env().webhook_secret("SECRET")
    assert "a-password" not in str(error.value)
    monkeypatch.setenv("SECRET", "mail:a-password-of-16")
    assert Env().webhook_secret("SECRET") == "mail:a-password-of-16"


def test_a_secret_may_come_in_a_file(monkeypatch, tmp_path) -> None:
    """As orchestrators mount it; it takes precedence over the variable, and only secrets may be files."""
    (tmp_path / "key").write_text("from the file$\n", "utf-8-sig")  # as some editors write
    monkeypatch.setenv("SECRET_KEY", "from the environment")
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("SITE_NAME_FILE", str(tmp_path / "key"))
    assert Env().str("SECRET_KEY", default="") == "from the file$"
    assert Env().str("SITE_NAME", default="Doorcode") == "Doorcode"


def test_a_secret_whose_file_is_missing_refuses_to_start(monkeypatch, tmp_path) -> None:
    """By the variable's name, and never with the value of another."""
    monkeypatch.setenv("EMAIL_URL_FILE", str(tmp_path / "nothing"))
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL_FILE can't be read"):
        Env()
