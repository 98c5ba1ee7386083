"""PostgreSQL with two roles, as docs/how-to/deploy.md has them: one migrates, the other does everything else."""

import re
from pathlib import Path

import psycopg
import pytest

from tests.servers import ROOT, MailServer, Postgres, System, Visitor

pytestmark = [pytest.mark.redis, pytest.mark.postgres]


def test_a_role_that_owns_no_table_runs_everything_but_migrations(
    postgres: Postgres, redis_url: str, tmp_path: Path
) -> None:
    """The grants are made before the tables, as for those of a later release."""
    owner = postgres.new_database()
    [grants] = re.findall(r"```sql\n(CREATE ROLE .+?)```", (ROOT / "docs/how-to/deploy.md").read_text(), re.DOTALL)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(grants)
    restricted = owner.replace("doorcode@", "doorcode_web@")
    with MailServer() as mail:
        System(database=owner, redis=redis_url, mail=mail, logs=tmp_path).manage("migrate", "--verbosity", "0")
        with System(database=restricted, redis=redis_url, mail=mail, logs=tmp_path).run() as system:
            go_the_whole_way(system)
    with psycopg.connect(restricted) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("ALTER TABLE signup_user ADD COLUMN mine text")


def go_the_whole_way(system: System) -> None:
    ann, email = Visitor(system.url), "ann@example.com"
    ann.post("/signup/", email=email)
    fields = {"email": email, "captcha": system.mail.code(email), "username": "ann", "password": "correct horse b"}
    assert ann.post("/signup/verify/", **fields).headers["Location"] == "/account/"
    for command in ("purge", "stats", "migrate"):  # the last has nothing to do, and says so
        system.manage(command)
    ann.post("/account/delete/", old_password="correct horse b")
    assert system.rows("SELECT email FROM signup_user") == []
