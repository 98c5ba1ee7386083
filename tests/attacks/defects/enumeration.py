"""Mistakes that would tell who has an account: attacks 1 to 6."""

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
        Edit("verification/services.py", "    if sign_up is None:\n", "    if sign_up is None or sign_up.decoy:\n"),
        "test_enumeration.py::test_01_new_pending_and_registered_addresses_answer_alike",
    ),
    defect(
        1,
        "No mail is written for a registered address, so its page never says that it was sent",
        Edit(
            "signup/services.py",
            "    _post(sign_up, user, language, network)\n",
            "    if not sign_up.decoy:\n        _post(sign_up, user, language, network)\n",
        ),
        "test_enumeration.py::test_01_new_pending_and_registered_addresses_answer_alike",
    ),
    defect(
        2,
        "A sign-in with an unknown name returns before a password is hashed",
        Edit(
            "signup/accounts/backends.py",
            "            nobody.check_password(password)  # an unknown account takes as long as a wrong password\n",
            "",
        ),
        "test_enumeration.py::test_02_time_tells_nothing[sqlite]",
    ),
    defect(
        3,
        "Redis that refuses connections is an error, as only its client's own exceptions are expected",
        Edit(
            "core/ratelimit.py",
            "    except (RedisError, OSError) as error:\n        _away(limit, error)\n        return 0",
            "    except RedisError as error:\n        _away(limit, error)\n        return 0",
        ),
        "test_enumeration.py::test_03_trouble_makes_no_difference[redis]",
    ),
    defect(
        3,
        "While the broker is away, only mails with a code show as late",
        Edit(
            "worker/outbox.py",
            "    transaction.on_commit(partial(bell.ring, delivery_id), robust=True)",
            "    code = Delivery.objects.filter(pk=delivery_id, kind=Delivery.Kind.CODE)\n"
            "    transaction.on_commit(lambda: bell.ring(delivery_id) or code.update(attempts=1), robust=True)",
        ),
        "test_enumeration.py::test_03_trouble_makes_no_difference[broker]",
    ),
    defect(
        3,
        "What the mail server puts off is tried again for codes alone",
        Edit(
            "worker/outbox.py",
            "    if reply.outcome is Outcome.REFUSED or _is_old(delivery):",
            "    if reply.outcome is Outcome.REFUSED or _is_old(delivery) or delivery.kind != Delivery.Kind.CODE:",
        ),
        "test_enumeration.py::test_03_a_mail_server_that_is_down_makes_no_difference",
    ),
    defect(
        4,
        "A finished request is not taken for a lost one",
        Edit("verification/states.py", "sign_up is None or sign_up.redeemed_at or", "sign_up is None or"),
        "test_enumeration.py::test_04_an_unknown_handle_says_nothing",
    ),
    defect(
        5,
        "Guesses at decoys are not charged to the address: they can't be right anyway",
        Edit(
            "verification/services.py",
            "        guess = limits.count_guess(address",
            "        guess = 0.0 if sign_up.decoy else limits.count_guess(address",
        ),
        "test_enumeration.py::test_05_the_limits_trip_alike",
    ),
    defect(
        5,
        "Requests for registered addresses are not charged to the network: they make no code",
        Edit(
            "signup/views.py",
            '@limits.counted(limits.charge_request)\n@require_http_methods(["GET", "HEAD", "POST"])\ndef signup(',
            '@require_http_methods(["GET", "HEAD", "POST"])\ndef signup(',
        ),
        Edit(
            "signup/views.py",
            "    form = EmailForm(request",
            '    if request.method == "POST" and not services.is_registered(address=request.POST.get("email", "")):\n'
            "        limits.charge_request(request)\n    form = EmailForm(request",
        ),
        "test_enumeration.py::test_05_the_limits_trip_alike",
    ),
    defect(
        6,
        "A taken username is told with all other errors",
        Edit(
            "signup/forms.py",
            '        if not self.errors and not services.is_username_free(username=self.cleaned_data["username"]):',
            '        name = self.cleaned_data.get("username")\n        if name and not services.is_username_free(username=name):',
        ),
        "test_enumeration.py::test_06_a_taken_username_is_told_only_to_who_proved_the_mailbox",
    ),
]
