"""Mistakes around the flow: attacks 42 to 51, 53 to 58, and 65 to 70."""

from .model import Edit, defect

SECRETS = "test_edges.py::test_45_46_a_secret_is_in_no_log_page_row_or_message"
COMPOSE, SERVICES = "docker-compose.yml", "signup/services.py"

EDGES = [
    defect(
        42,
        "The leftmost address of X-Forwarded-For is taken",
        Edit("core/client_ip.py", "parse(entries[-hops]) if", "parse(entries[0]) if"),
        "test_edges.py::test_42_rotating_forwarded_addresses_is_one_network",
    ),
    defect(
        42,
        "X-Forwarded-For is believed without a proxy",
        Edit(
            "core/client_ip.py", "    hops = settings.TRUSTED_PROXIES\n", "    hops = settings.TRUSTED_PROXIES or 1\n"
        ),
        "test_edges.py::test_42_rotating_forwarded_addresses_is_one_network",
    ),
    defect(
        42,
        "Requests are counted by network and address",
        Edit(
            "signup/limits.py",
            "ratelimit.hit(self, key=client_ip.client_network(request))",
            'ratelimit.hit(self, key=client_ip.client_network(request) + request.POST.get("email", ""))',
        ),
        "test_edges.py::test_42_rotating_forwarded_addresses_is_one_network",
    ),
    defect(
        43,
        "While Redis is down, every request is refused",
        Edit(
            "core/ratelimit.py",
            "        opened.add(limit.name)\n        return\n",
            "        raise RateLimited(limit, 60)\n",
        ),
        "test_edges.py::test_43_with_redis_gone_sign_up_works",
    ),
    defect(
        44,
        "Pages may be kept, if not shared",
        Edit("core/middleware.py", '"private, no-store")', '"private")'),
        "test_edges.py::test_44_pages_are_private",
    ),
    defect(
        45,
        "Tokens of links are not removed from the logs",
        Edit(
            "core/observability/redaction.py",
            r"(?:signup/(?:link|mute)|password-reset",
            r"(?:signup/(?:mute)|password-reset",
        ),
        SECRETS,
    ),
    defect(
        45,
        "The typed code is logged",
        Edit("verification/services.py", "import secrets\n", "import logging\nimport secrets\n"),
        Edit(
            "verification/services.py",
            "    _count_guess(sign_up, now)\n",
            '    logging.getLogger(__name__).debug("request %s: code %s", sign_up.pk, code)\n'
            "    _count_guess(sign_up, now)\n",
        ),
        SECRETS,
    ),
    defect(
        45,
        "The code is stored beside the mail",
        Edit(
            "worker/outbox.py",
            "from verification import services as verification\n",
            "from verification import codes\nfrom verification import services as verification\n",
        ),
        Edit(
            "worker/outbox.py",
            "then=Value(reply.text[:255]))",
            'then=Value(f"{reply.text} {codes.code_of(delivery.sign_up) if delivery.sign_up else None}"))',
        ),
        SECRETS,
    ),
    defect(
        45,
        "The admin shows what the code is derived from",
        Edit(
            "signup/admin/logs.py",
            '        (None, {"fields": ("address", "state",',
            '        (None, {"fields": ("address", "nonce", "state",',
        ),
        SECRETS,
    ),
    defect(
        46,
        "The message contains the mail's address",
        Edit(
            "worker/notify.py",
            "from core.circuit_breaker import",
            "from worker.models import Delivery\n\nfrom core.circuit_breaker import",
        ),
        Edit(
            "worker/notify.py",
            "args=(delivery_id,), expires=EXPIRES)",
            "args=(delivery_id,), argsrepr=str(Delivery.objects.values().get(pk=delivery_id)), expires=EXPIRES)",
        ),
        "test_edges.py::test_46_the_broker_gets_an_id_and_nothing_else",
    ),
    defect(
        46,
        "The message contains the code",
        Edit(
            "worker/notify.py",
            "from core.circuit_breaker import",
            "from verification import codes\nfrom worker.models import Delivery\n\nfrom core.circuit_breaker import",
        ),
        Edit(
            "worker/notify.py",
            "args=(delivery_id,), expires=EXPIRES)",
            'args=(delivery_id,), headers={"code": codes.code_of(Delivery.objects.get(pk=delivery_id).sign_up)}, expires=EXPIRES)',
        ),
        SECRETS,
        "test_edges.py::test_46_the_broker_gets_an_id_and_nothing_else",
    ),
    defect(
        47,
        "Error reports have Django's own filter, which hides only what is marked as sensitive",
        Edit(
            "core/settings.py",
            'DEFAULT_EXCEPTION_REPORTER_FILTER = "core.observability.error_reports.ExceptionReporterFilter"\n',
            "",
        ),
        "test_edges.py::test_47_error_reports_hide_what_was_typed",
    ),
    defect(
        47,
        "URLs of services are not hidden",
        Edit("core/observability/error_reports.py", "|URL|LOCATION", ""),
        "test_edges.py::test_47_error_reports_hide_what_was_typed",
    ),
    defect(
        48,
        "Pickled messages are read too",
        Edit("core/settings.py", 'CELERY_ACCEPT_CONTENT = ["json"]', 'CELERY_ACCEPT_CONTENT = ["json", "pickle"]'),
        "test_edges.py::test_48_pickled_tasks_are_refused",
    ),
    defect(
        49,
        "Redis has a public port",
        Edit(COMPOSE, "    image: redis:8\n", '    image: redis:8\n    ports: ["6379:6379"]\n'),
        "test_edges.py::test_49_compose_hides_its_databases",
    ),
    defect(
        49,
        "Redis needs no password",
        Edit(COMPOSE, '--requirepass, "${REDIS_PASSWORD:?a password}", ', ""),
        "test_edges.py::test_49_compose_hides_its_databases",
    ),
    defect(
        49,
        "PostgreSQL's password has a default",
        Edit(
            COMPOSE,
            "      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?a password}",
            "      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:-doorcode}",
        ),
        "test_edges.py::test_49_compose_hides_its_databases",
    ),
    defect(
        50,
        "Reset mails are outside the mail limits",
        Edit("signup/accounts/services.py", "language=language, network=network", "language=language, network=None"),
        "test_edges.py::test_50_a_mailbox_can_not_be_bombed",
    ),
    defect(
        51,
        "Inline styles are allowed",
        Edit("core/settings.py", '"style-src": [SELF],', '"style-src": [SELF, "\'unsafe-inline\'"],'),
        "test_edges.py::test_51_no_page_can_be_framed_or_scripted",
    ),
    defect(
        51,
        "Pages may be framed",
        Edit(
            "core/settings.py",
            "CONTENT_SECURITY_POLICY = {\n",
            'X_FRAME_OPTIONS = "SAMEORIGIN"\nCONTENT_SECURITY_POLICY = {\n',
        ),
        "test_edges.py::test_51_no_page_can_be_framed_or_scripted",
    ),
    defect(
        51,
        "The error page shows the exception",
        Edit(
            "core/views.py",
            "        return error_page(request, 500)\n",
            "        return error_page(request, 500, (str(sys.exc_info()[1]), _TEXTS[500][1]))\n",
        ),
        "test_edges.py::test_51_the_admin_is_for_staff_and_errors_show_nothing",
    ),
    defect(
        58,
        "A long name is sent as Django 5.2 encodes it",
        Edit("worker/messages.py", '        message.replace_header("From", _mailbox("From", self.from_email))\n', ""),
        "test_edges.py::test_58_no_name_stops_the_mail_or_adds_a_header",
    ),
    defect(
        58,
        "Encoded words are as long as what they encode",
        Edit("worker/messages.py", "maxlinelen=LINE", "maxlinelen=998"),
        "test_edges.py::test_58_no_name_stops_the_mail_or_adds_a_header",
    ),
    defect(
        58,
        "The subject is sent as it was rendered",
        Edit("worker/messages.py", 'subject=" ".join(subject.split())', "subject=subject"),
        "test_edges.py::test_58_no_name_stops_the_mail_or_adds_a_header",
    ),
    defect(
        53,
        "An address is read without looking for a port",
        Edit(
            "core/client_ip.py", "ip_address(with_port[1] or with_port[2] if with_port else text)", "ip_address(text)"
        ),
        "test_edges.py::test_53_a_proxy_that_adds_a_port_makes_nobody_one_network",
    ),
    defect(
        54,
        "A body in chunks is left to Django, which reads none",
        Edit(
            "core/wsgi.py",
            '    is_chunked = environ.get("wsgi.input_terminated") and',
            '    is_chunked = environ.get("no.such.server") and',
        ),
        "test_edges.py::test_54_a_body_in_chunks_is_read",
    ),
    defect(
        54,
        "A body in chunks is cut at the limit of bodies, and the rest is ignored",
        Edit("core/wsgi.py", "chunks.read(limit + 1)", "chunks.read(limit)"),
        "test_edges.py::test_54_chunks_have_the_limit_of_bodies",
    ),
    defect(
        54,
        "A body without a length counts as empty",
        Edit("core/middleware.py", 'if "HTTP_TRANSFER_ENCODING" in request.META:', "if False:"),
        "test_edges.py::test_54_chunks_that_the_server_leaves_need_a_length",
    ),
    defect(
        55,
        "Each request to /readyz checks all dependencies",
        Edit("core/views.py", "states = registry.cached_readiness()", "states = registry.readiness()"),
        "test_edges.py::test_55_a_flood_of_readiness_delays_nobody",
    ),
    defect(
        56,
        "Keys of limits are plain hashes",
        Edit("core/ratelimit.py", "import logging\n", "import hashlib\nimport logging\n"),
        Edit(
            "core/ratelimit.py",
            'hashed = pseudonym(f"limit.{limit.name}", key)',
            "hashed = hashlib.sha256(key.encode()).hexdigest()[:16]",
        ),
        "test_edges.py::test_56_redis_holds_no_address",
    ),
    defect(
        57,
        "A request from this machine's own address needs no token",
        Edit(
            "core/observability/metrics.py",
            "        return bool(settings.DEBUG)\n",
            '        return request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1")\n',
        ),
        "test_edges.py::test_57_a_local_proxy_opens_no_metrics",
    ),
    defect(
        65,
        "Every key is accepted, except a missing one",
        Edit("core/env.py", "if is_weak_key(key) and not debug:", "if not key and not debug:"),
        "test_edges.py::test_65_a_key_that_can_be_guessed_starts_no_process",
    ),
    defect(
        65,
        "A weak former key is accepted",
        Edit("core/env.py", "if any(map(is_weak_key, keys)) and not debug:", "if False:"),
        "test_edges.py::test_65_a_key_that_can_be_guessed_starts_no_process",
    ),
    defect(
        65,
        "The documentation's example is accepted as a key",
        Edit("core/env.py", '"replace-me", ', ""),
        "test_edges.py::test_65_a_key_that_can_be_guessed_starts_no_process",
    ),
    defect(
        66,
        "Compose publishes the web on all interfaces",
        Edit(COMPOSE, '"127.0.0.1:${PORT:-8000}:8000"', '"${PORT:-8000}:8000"'),
        "test_edges.py::test_66_compose_publishes_the_web_to_the_proxy_alone",
    ),
    defect(
        67,
        "TLS to Redis is as Celery has it by default",
        Edit("core/server_urls.py", 'return url, {"ssl_cert_reqs": ssl.CERT_REQUIRED}, {}', "return url, False, {}"),
        "test_edges.py::test_67_a_server_with_a_strange_certificate_gets_no_word[rediss]",
    ),
    defect(
        67,
        "Connections to sentinels have no TLS",
        Edit("core/server_urls.py", '{**once, **login, "ssl": bool(tls), **tls}', "{**once, **login}"),
        "test_edges.py::test_67_a_server_with_a_strange_certificate_gets_no_word[sentinel]",
    ),
    defect(
        68,
        "Mails with longer codes are outside all limits",
        Edit(SERVICES, "_post(locked, language, None if is_first else network)", "_post(locked, language, None)"),
        "test_edges.py::test_68_longer_codes_are_no_way_to_bomb_a_mailbox",
    ),
    defect(
        70,
        "Cookies have plain names",
        Edit("core/settings.py", '"__Host-" if _https else ""', '""'),
        "test_edges.py::test_70_a_neighbouring_subdomain_can_set_none_of_our_cookies",
    ),
    defect(
        70,
        "White space around the name of a cookie is Django's to strip",
        Edit("core/wsgi.py", 'if re.match("[ -~]*(=|$)", pair)', ""),
        "test_edges.py::test_70_no_white_space_before_a_name_makes_a_cookie_ours",
    ),
]
