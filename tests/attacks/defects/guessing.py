"""Mistakes that would allow more guesses: attacks 7 to 18, and 69."""

from .model import Edit, defect

SERVICES, LIMITS = "verification/services.py", "verification/guess_limits.py"
COUNT_ON_ITS_OWN = Edit(SERVICES, "with transaction.atomic(durable=True):", "with transaction.atomic():")
ATOMIC_REQUESTS = Edit(
    "core/settings.py",
    'DATABASES["default"]["CONN_HEALTH_CHECKS"] = True',
    'DATABASES["default"]["ATOMIC_REQUESTS"] = DATABASES["default"]["CONN_HEALTH_CHECKS"] = True',
)
NOT_REFUSED = Edit("core/checks.py", '    _require(not is_changed, "E013", text)\n', "")
ANY_ACCOUNT = Edit(
    "signup/services.py", "            if user.is_registered:\n                raise AlreadyRegistered\n", ""
)
MIDNIGHT = "at.replace(hour=0, minute=0, second=0, microsecond=0)"

GUESSING = [
    defect(
        7,
        "The row's state, with its tries, is not checked again where a guess is counted",
        Edit(SERVICES, "        require_open(sign_up, address=sign_up.address)\n", ""),
        "test_races.py::test_07_of_200_parallel_wrong_codes_five_are_compared[postgresql]",
        "test_api.py::test_07_of_200_parallel_wrong_codes_at_most_five_are_compared",
    ),
    defect(
        8,
        "Neither redeeming the proof nor activating the account is conditional (each alone is caught by the other)",
        Edit(SERVICES, "proven_at__isnull=False, redeemed_at=None)", "proven_at__isnull=False)"),
        ANY_ACCOUNT,
        "test_races.py::test_08_of_50_parallel_right_codes_one_makes_an_account[postgresql]",
        "test_api.py::test_08_of_50_parallel_right_codes_one_makes_an_account",
    ),
    defect(
        9,
        "ATOMIC_REQUESTS, and a count that is part of the request's transaction",
        ATOMIC_REQUESTS,
        NOT_REFUSED,
        COUNT_ON_ITS_OWN,
        "test_guessing.py::test_09_the_count_survives_a_failing_request",
        "test_api.py::test_09_a_try_is_counted_though_the_call_fails",
    ),
    defect(
        9,
        "The code is compared first, and counted if it was wrong",
        Edit(
            SERVICES,
            "    _count_guess(sign_up, now)\n",
            "    if codes.same(codes.code_of(sign_up), code) and not sign_up.decoy:\n"
            "        _mark_proven(sign_up, by=CaptchaModel.ProvenBy.CODE)\n"
            '        return codes.proof_of(sign_up) or ""\n'
            "    _count_guess(sign_up, now)\n",
        ),
        "test_guessing.py::test_09_the_count_survives_a_failing_request",
        "test_api.py::test_09_a_try_is_counted_though_the_call_fails",
    ),
    defect(
        10,
        "Guesses are counted by code, not by address",
        Edit(
            SERVICES,
            "guess_limits.count(address=sign_up.address, length",
            "guess_limits.count(address=sign_up.handle, length",
        ),
        "test_guessing.py::test_10_resending_gives_no_new_guesses",
    ),
    defect(
        10,
        "A new code deletes the wrong guesses of its address",
        Edit(
            SERVICES,
            "    sign_up = CaptchaModel.objects.create(\n",
            "    guess_limits.AddressGuesses.objects.filter(address=address).delete()\n"
            "    sign_up = CaptchaModel.objects.create(\n",
        ),
        "test_guessing.py::test_10_resending_gives_no_new_guesses",
    ),
    defect(
        10,
        "The address's row is not locked while a guess is counted",
        Edit(
            LIMITS,
            "    row = AddressGuesses.objects.lock_or_create(address, at=at)\n",
            "    row, _ = AddressGuesses.objects.get_or_create(address=address)\n",
        ),
        "test_races.py::test_10_on_many_handles_at_once_nine_wrong_codes_are_compared[postgresql]",
    ),
    defect(
        11,
        "A right code is right, however many tries or minutes are over",
        Edit(
            SERVICES,
            "    require_open(sign_up, address=address)\n",
            "    if not codes.same(codes.code_of(sign_up), code):\n        require_open(sign_up, address=address)\n",
        ),
        "test_guessing.py::test_11_the_answer_depends_on_the_state_alone",
    ),
    defect(
        11,
        "The right code of a redeemed request gets an answer of its own",
        Edit(SERVICES, "from .states import CodeMismatch", "from .states import AlreadyRedeemed, CodeMismatch"),
        Edit(
            SERVICES,
            "    if sign_up.address == address and holds_proof(",
            "    if codes.same(codes.code_of(sign_up), code) and sign_up.redeemed_at:\n"
            "        raise AlreadyRedeemed\n"
            "    if sign_up.address == address and holds_proof(",
        ),
        "test_guessing.py::test_11_the_answer_depends_on_the_state_alone",
    ),
    defect(
        12,
        "The address beside the code is not compared with the request's",
        Edit(SERVICES, "require_open(sign_up, address=address)", "require_open(sign_up, address=sign_up.address)"),
        "test_guessing.py::test_12_a_code_fits_its_own_request_alone",
    ),
    defect(
        12,
        "The code is derived from the generation alone: all requests have the same",
        Edit(
            "verification/codes.py",
            'f"{nonce}|{generation}|{length}|{draw}|{address}"',
            'f"{generation}|{length}|{draw}"',
        ),
        "test_guessing.py::test_12_a_code_fits_its_own_request_alone",
    ),
    defect(
        13,
        "The code is derived from the address: all its live requests have the same",
        Edit("verification/codes.py", 'f"{nonce}|{generation}|{length}', 'f"{generation}|{length}'),
        "test_races.py::test_13_no_code_of_one_request_fits_another[sqlite]",
    ),
    defect(
        13,
        "A code is compared with those of all live requests of its address",
        Edit(
            SERVICES,
            "    if not codes.same(codes.code_of(sign_up), code) or sign_up.decoy:",
            "    live = CaptchaModel.objects.live().filter(address=address)\n"
            "    if not any(codes.same(codes.code_of(each), code) for each in live) or sign_up.decoy:",
        ),
        "test_races.py::test_13_no_code_of_one_request_fits_another[sqlite]",
    ),
    defect(
        14,
        "The guesses of an address are counted in the cache",
        Edit(
            LIMITS,
            "from django.conf import settings\n",
            "from django.conf import settings\nfrom django.core.cache import cache\n",
        ),
        Edit(
            LIMITS,
            "    recent = row.since(at - WINDOW)\n",
            "    recent = [guess for guess in cache.get(address, []) if guess > (at - WINDOW).timestamp()]\n",
        ),
        Edit(
            LIMITS,
            '    row.save(update_fields=["guesses", "updated_at"])\n',
            '    row.save(update_fields=["guesses", "updated_at"])\n    cache.set(address, row.guesses, 86_400)\n',
        ),
        "test_guessing.py::test_14_an_empty_redis_forgets_no_guess",
    ),
    defect(
        15,
        "The 24 hours are the calendar's day",
        Edit(LIMITS, "for guess in row.since(at - WINDOW)]", f"for guess in row.since({MIDNIGHT})]"),
        Edit(LIMITS, "recent = row.since(at - WINDOW)", f"recent = row.since({MIDNIGHT})"),
        "test_guessing.py::test_15_a_burst_at_the_edge_of_a_window_gains_nothing",
    ),
    defect(
        16,
        "Leading zeros are lost",
        Edit("verification/codes.py", "return str(number % values).zfill(length)", "return str(number % values)"),
        "test_guessing.py::test_16_codes_are_uniform",
    ),
    defect(
        16,
        "The code is two bytes of the hash, modulo 10,000: small codes come more often",
        Edit("verification/codes.py", '{draw}|{address}")', '{draw}|{address}")[:2]'),
        "test_guessing.py::test_16_codes_are_uniform",
    ),
    defect(
        16,
        "The hash has no key: a row is enough to compute its code",
        Edit("verification/codes.py", "purpose.encode(), key.encode(), sha256)", 'purpose.encode(), b"", sha256)'),
        "test_guessing.py::test_16_a_row_is_not_enough_to_know_its_code",
    ),
    defect(
        17,
        "Mails are counted by address, not by mailbox",
        Edit("worker/outbox.py", "else email_addresses.mailbox(recipient)", "else recipient"),
        "test_guessing.py::test_17_variants_of_one_mailbox_share_its_mails",
    ),
    defect(
        17,
        "Tags are not folded",
        Edit("core/email_addresses.py", '    local = local.partition("+")[0] or local\n', ""),
        "test_guessing.py::test_17_variants_of_one_mailbox_share_its_mails",
    ),
    defect(
        17,
        "A mailbox is taken for an identity",
        Edit(
            "core/email_addresses.py",
            'return f"{local}@{parsed.ascii_domain.removesuffix(stand_in)}".lower()',
            'return mailbox(f"{local}@{parsed.ascii_domain.removesuffix(stand_in)}".lower())',
        ),
        "test_guessing.py::test_17_a_variant_is_still_somebody_else",
    ),
    defect(
        18,
        "The API's sign-in gives the form no request, so passwords are not limited",
        Edit("signup/api/serializers.py", 'LoginForm(self.context["request"], ', "LoginForm(None, "),
        "test_api.py::test_18_the_api_and_the_forms_share_one_limit",
    ),
    defect(
        18,
        "A request for a code by JSON is not counted for the network",
        Edit("signup/api/views.py", "        limits.MAIL_REQUESTS.hit(request)\n        key", "        key"),
        "test_api.py::test_18_the_api_and_the_forms_share_one_limit",
    ),
    defect(
        18,
        "The API compares the password of a deletion itself, so it is not limited",
        Edit(
            "signup/api/views.py",
            "        request.user.delete()\n",
            '        if not request.user.check_password(request.data["password"]):\n'
            "            raise Problem(ErrorCode.VALIDATION)\n"
            "        request.user.delete()\n",
        ),
        Edit(
            "signup/api/views.py",
            "        self.validated(serializers.DeletionSerializer)\n",
            "",
        ),
        "test_api.py::test_18_a_stolen_token_guesses_no_password[deletion]",
    ),
    defect(
        69,
        "A right code takes its try back, also from the longer code that replaced it",
        Edit(SERVICES, '"attempts": Greatest(F("attempts") - 1, 0)', '"attempts": F("attempts") - 1'),
        "test_guessing.py::test_69_a_code_that_is_lengthened_while_it_is_compared_keeps_count",
    ),
]
