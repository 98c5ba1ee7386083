"""The cost of a registration with 1,000 and with 1,000,000 rows in each of its tables."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.bench.bench import WARM, Bench
from tests.bench.result import Goal, Row, ratio, spread
from tests.bench.systems import Site

from .journey import register

FEW, MANY = 1_000, 1_000_000
PEOPLE = 120
SLOW = 8

_DOORCODE = """
INSERT INTO signup_user (password, is_superuser, email, username, username_key, language, is_active, is_staff,
    created_at, activated_at, public_id)
SELECT '!', false, 'old' || n || '@example.com', 'old' || n, translate('old' || n, '01', 'ol'), 'en', true, false, now(), now(),
    gen_random_uuid()
FROM generate_series(1, {rows}) AS n;
INSERT INTO verification_captchamodel (handle, address, nonce, key_id, generation, length, attempts, decoy, created_at,
    requested_at, first_accepted_at, expires_at, proven_at, proven_by, redeemed_at)
SELECT 'old' || n, 'old' || n || '@example.com', md5(n::text), 'k', 1, 4, 0, false, now(), now(), now(), now(), now(),
    'code', now()
FROM generate_series(1, {rows}) AS n;
INSERT INTO worker_delivery (kind, recipient, language, sign_up_id, generation, state, attempts, mailbox, network,
    admitted_at, created_at, next_attempt_at, lease_token, message_id, sent_at, last_reply)
SELECT 'code', address, 'en', id, 1, 'sent', 1, address, md5(id::text)::varchar(16), now() - interval '2 hours', now(),
    now(), '', handle, now(), '250 OK'
FROM verification_captchamodel;
"""
PEER_ROWS = """
INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
SELECT '!', false, 'old' || n, '', '', 'old' || n || '@example.com', false, true, now()
FROM generate_series(1, {rows}) AS n;
INSERT INTO account_emailaddress (email, verified, "primary", user_id)
SELECT email, true, true, id FROM auth_user WHERE username LIKE 'old%';
"""


def growth(bench: Bench) -> list[Row]:
    few, many = FEW, bench.size(MANY, 20_000)
    rows = []
    figures: dict[str, list[float]] = defaultdict(list)
    requests: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        kinds = ("doorcode", "allauth")
        sites = [(kind, size, _site(bench, kind, f"{kind}-{size}")) for size in (few, many) for kind in kinds]
        running = {}
        with ThreadPoolExecutor() as pool:
            list(pool.map(_fill, sites))
        for kind, _, site in sites:
            running[site.name] = list(bench.warm(stack, site).values())
            if kind == "doorcode":
                running[site.name].append(stack.enter_context(site.worker("worker")))
        bench.rig.sink.wait_for(WARM * len(sites))
        for turn in range(-1, bench.rounds):
            for kind, _, site in sites:
                number = 8 if turn < 0 else bench.size(SLOW if kind == "allauth" else PEOPLE)
                costs = register(bench, site, number, running[site.name])
                if turn >= 0:
                    requests[site.name].append(costs["request"])
                    figures[site.name].append(costs["request"] + costs["verify"])
    for what, values, kind, goal in (
        ("a sign-up with its mail, CPU at {} rows against {}", requests, "doorcode", Goal(most=1.1)),
        ("a whole registration, CPU at {} rows against {}", figures, "doorcode", Goal(most=1.1)),
        ("… allauth as shipped, a whole registration at {} rows against {}", figures, "allauth", None),
    ):
        large, small = values[f"{kind}-{many}"], values[f"{kind}-{few}"]
        said = {f"{many:,} rows": spread(large, "CPU-ms"), f"{few:,} rows": spread(small, "CPU-ms")}
        rows.append(ratio(what.format(f"{many:,}", f"{few:,}"), large, small, goal, **said))
    size = sites[-2][2].rows("SELECT pg_database_size(current_database())")[0][0]
    bench.units["database_bytes_a_registration"] = size / many
    return rows


def _fill(site: tuple[str, int, Site]) -> None:
    kind, rows, where = site
    where.rows((_DOORCODE if kind == "doorcode" else PEER_ROWS).format(rows=rows))
    where.rows("VACUUM ANALYZE")


def _site(bench: Bench, kind: str, name: str) -> Site:
    """Without hashing: it would hide what grows."""
    if kind == "allauth":
        return bench.rig.peer(name, hashes=False, mails="inline")
    site = bench.rig.doorcode(name)
    site.environment["DJANGO_SETTINGS_MODULE"] = "tests.bench.unhashed"
    return site
