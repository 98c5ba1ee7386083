"""Mistakes that would show who has an account: attacks 1 to 6."""

from .model import Edit, defect

ENUMERATION = [
    defect(
        1,
        "The form refuses registered addresses, whatever SIGNUP_REVEAL_REGISTERED says",
        Edit("signup/forms.py", "if settings.SIGNUP_REVEAL_REGISTERED and services", "if services"),
        "test_enumeration.py::test_01_new_pending_and_registered_addresses_answer_alike",
    ),
    defect(
        1,
        "A decoy answers as a request that timed out",
        Edit(
            "verification/services.py",
            "    if sign_up.address == address and holds_proof(",
            "    if sign_up.decoy:\n        raise HandleLost\n    if sign_up.address == address and holds_proof(",
        ),
        "test_enumeration.py::test_01_new_pending_and_registered_addresses_answer_alike",
    ),
    defect(
        1,
        "No mail is written for a registered address, so its page never says that it was sent",
        Edit(
            "signup/services.py",
            "    _post(sign_up, user.language or language, network)\n",
            "    if not sign_up.decoy:\n        _post(sign_up, user.language or language, network)\n",
        ),
        "test_enumeration.py::test_01_new_pending_and_registered_addresses_answer_alike",
    ),
    defect(
        1,
        "The page names the sender of the mail, which is in the account's language",
        Edit("signup/progress.py", "languages.sender(languages.active())", "languages.sender(delivery.language)"),
        "test_enumeration.py::test_01_an_accounts_language_is_not_seen",
    ),
    defect(
        1,
        "The API sends no reset to an address without an account, and so runs fewer statements",
        Edit(
            "signup/accounts/forms.py",
            "        services.request_password_reset(address=email, language=languages.active(), network=network)\n",
            "        if User.objects.filter(email=email, is_active=True).exists():\n"
            "            services.request_password_reset(address=email, language=languages.active(), network=network)\n",
        ),
        "test_api.py::test_01_a_reset_by_json_tells_nothing",
    ),
    defect(
        2,
        "A sign-in with an unknown name returns before a password is hashed",
        Edit(
            "signup/accounts/backends.py",
            "        found = user or User(password=unknown)\n",
            "        found = user\n        if found is None:\n            return None\n",
        ),
        "test_enumeration.py::test_02_time_tells_nothing[sqlite]",
    ),
    defect(
        3,
        "Redis that refuses connections is an error, as only its client's own exceptions are expected",
        Edit(
            "core/ratelimit.py",
            "    except (RedisError, OSError) as error:\n        _report_failure(limit, error)\n        return None",
            "    except RedisError as error:\n        _report_failure(limit, error)\n        return None",
        ),
        "test_enumeration.py::test_03_trouble_makes_no_difference[redis]",
    ),
    defect(
        3,
        "While the broker is down, only mails with a code are shown as delayed",
        Edit(
            "worker/outbox.py",
            "    transaction.on_commit(lambda: notify.notify_workers(delivery_id), robust=True)",
            "    code = Delivery.objects.filter(pk=delivery_id, kind=Delivery.Kind.CODE)\n"
            "    transaction.on_commit(lambda: notify.notify_workers(delivery_id) or code.update(attempts=1), robust=True)",
        ),
        "test_enumeration.py::test_03_trouble_makes_no_difference[broker]",
    ),
    defect(
        3,
        "Of the mails that the mail server defers, only those with a code are tried again",
        Edit(
            "worker/outbox.py",
            "    if reply.outcome is Outcome.REFUSED or is_old:",
            "    if reply.outcome is Outcome.REFUSED or is_old or delivery.kind != Delivery.Kind.CODE:",
        ),
        "test_enumeration.py::test_03_a_mail_server_that_is_down_makes_no_difference",
    ),
    defect(
        3,
        "The cause of a refusal is kept of mails with a code alone",
        Edit(
            "worker/outbox.py",
            '"cause": reply.cause or ""}',
            '"cause": reply.cause or "" if delivery.kind == Delivery.Kind.CODE else ""}',
        ),
        "test_enumeration.py::test_03_whose_a_refusal_is_makes_no_difference[mailbox]",
    ),
    defect(
        3,
        "Only mails with a code are held back from a suppressed address",
        Edit(
            "worker/sending.py",
            "    if delivery.is_suppressed:\n",
            "    if delivery.is_suppressed and delivery.kind == Delivery.Kind.CODE:\n",
        ),
        "test_enumeration.py::test_03_a_bounce_or_a_complaint_makes_no_difference[bounced]",
        "test_enumeration.py::test_03_a_bounce_or_a_complaint_makes_no_difference[complained]",
    ),
    defect(
        3,
        "A complaint is told to whoever asked for the mail",
        Edit(
            "worker/models.py",
            "        if self.state == self.State.BOUNCED:\n",
            "        if self.state in self.RETURNED:\n",
        ),
        Edit("worker/models.py", "(self.State.SENT, self.State.COMPLAINED):", "(self.State.SENT,):"),
        "test_enumeration.py::test_03_a_bounce_or_a_complaint_makes_no_difference[complained]",
    ),
    defect(
        4,
        "A redeemed request is not answered as an unknown one (in the query and in the row, each of which is enough)",
        Edit("verification/models.py", "return Q(redeemed_at=None, created_at__gt=", "return Q(created_at__gt="),
        Edit("verification/models.py", "return self.redeemed_at is None and clock.now() <", "return clock.now() <"),
        "test_enumeration.py::test_04_an_unknown_handle_says_nothing",
    ),
    defect(
        5,
        "Guesses at decoys are not counted for the address: they can't be right anyway",
        Edit(
            "verification/services.py",
            "        guess_limits.count(address=",
            "        if not sign_up.decoy:\n            guess_limits.count(address=",
        ),
        "test_enumeration.py::test_05_the_limits_trip_alike",
    ),
    defect(
        5,
        "Requests for registered addresses are not counted for the network: they make no code",
        Edit(
            "signup/views.py",
            '    if request.method == "POST":\n        limits.MAIL_REQUESTS.hit(request)\n    next_page',
            '    registered = services.User.objects.registered().filter(email=request.POST.get("email", ""))\n'
            '    if request.method == "POST" and not registered.exists():\n'
            "        limits.MAIL_REQUESTS.hit(request)\n    next_page",
        ),
        "test_enumeration.py::test_05_the_limits_trip_alike",
    ),
    defect(
        6,
        "A taken username is reported beside all other errors",
        Edit(
            "signup/forms.py",
            "        if username and self.is_proven and not services",
            "        if username and not services",
        ),
        "test_enumeration.py::test_06_a_taken_username_is_told_only_to_who_proved_the_mailbox",
    ),
]
