"""Mistakes about whose account it becomes: attacks 31 to 41, and 64."""

from .guessing import ANY_ACCOUNT
from .model import Edit, defect

SERVICES, VIEWS, PARSING = "signup/services.py", "signup/views.py", "signup/api/parsing.py"
RESETTABLE = "self.filter(is_active=True).exclude(password__startswith=hashers.UNUSABLE_PASSWORD_PREFIX)"
BEFORE_THE_PROOF = '        email, held = self.cleaned_data["email"], self.held_proof\n        try:\n'

ACCOUNTS = [
    defect(
        31,
        "Once the mailbox is proven, anybody with the handle may finish the request",
        Edit(
            "verification/services.py",
            "    if state is State.LOST or sign_up.decoy or not proof:\n",
            "    if sign_up.proven_at and state is not State.LOST:\n"
            "        return True\n"
            "    if state is State.LOST or sign_up.decoy or not proof:\n",
        ),
        "test_accounts.py::test_31_the_owner_proves_a_strangers_request_and_stumbles",
    ),
    defect(
        31,
        "The password that was typed first is kept for the account",
        Edit(
            "signup/forms.py",
            BEFORE_THE_PROOF,
            BEFORE_THE_PROOF.replace(
                "        try:\n",
                "        user = User.objects.filter(email=email).first()\n"
                "        if user and not user.has_usable_password():\n"
                '            user.set_password(self.cleaned_data["password"])\n'
                "            user.save()\n"
                "        try:\n",
            ),
        ),
        Edit(SERVICES, "user.password, user.language = hashed, language\n", "user.language = language\n"),
        "test_accounts.py::test_31_a_stranger_prepares_nothing_for_the_owner",
    ),
    defect(
        32,
        "A new request ends the earlier ones of its address",
        Edit(
            "verification/services.py",
            "    sign_up = CaptchaModel.objects.create(\n",
            "    CaptchaModel.objects.filter(address=address, redeemed_at=None).update(redeemed_at=now)\n"
            "    sign_up = CaptchaModel.objects.create(\n",
        ),
        "test_accounts.py::test_32_asking_again_changes_nothing_of_the_first_asker",
    ),
    defect(
        32,
        "A longer code is a new generation: the link in earlier mails stops working",
        Edit(
            "verification/services.py",
            '    sign_up.length, sign_up.attempts = length, 0\n    sign_up.save(update_fields=["length", "attempts"])',
            "    sign_up.length, sign_up.attempts, sign_up.generation = length, 0, sign_up.generation + 1\n"
            '    sign_up.save(update_fields=["length", "attempts", "generation"])',
        ),
        Edit(
            "verification/services.py",
            "return codes.is_proof(sign_up, proof)",
            "return codes.same(codes.proof_of(sign_up), proof)",
        ),
        "test_accounts.py::test_32_wrong_guesses_lengthen_and_the_old_link_still_opens",
    ),
    defect(
        33,
        "A row of an address is taken for its account",
        Edit(
            "signup/models.py",
            "return bool(self.activated_at or self.is_active or self.is_staff)",
            "return self.pk is not None",
        ),
        "test_accounts.py::test_33_nobody_squats_an_address_or_a_name",
    ),
    defect(
        33,
        "The username is kept for the visitor who typed it, before the code is checked",
        Edit(
            "signup/forms.py",
            BEFORE_THE_PROOF,
            BEFORE_THE_PROOF.replace(
                "        try:\n",
                '        User.objects.pending().filter(email=email).update(username=self.cleaned_data["username"])\n'
                "        try:\n",
            ),
        ),
        "test_accounts.py::test_33_nobody_squats_an_address_or_a_name",
    ),
    defect(
        34,
        "A proof activates any account of its address",
        ANY_ACCOUNT,
        "test_accounts.py::test_34_a_disabled_account_stays_disabled",
    ),
    defect(
        34,
        "A disabled account gets a reset mail",
        Edit("signup/models.py", RESETTABLE, RESETTABLE.replace("filter(is_active=True)", "all()")),
        "test_accounts.py::test_34_a_disabled_account_stays_disabled",
    ),
    defect(
        35,
        "A pending account gets a reset mail (two conditions, each of which is enough)",
        Edit("signup/models.py", RESETTABLE, "self.all()"),
        "test_accounts.py::test_35_nobody_signs_in_before_the_proof",
    ),
    defect(
        35,
        "Nothing checks whether an account is active (three layers, each of which is enough)",
        Edit("signup/accounts/backends.py", " or not self.user_can_authenticate(user)", ""),
        Edit("signup/models.py", "self.registered().get(", "self.get("),
        Edit(
            "signup/accounts/forms.py",
            "    def __init__(self, *args: Any, **kwargs: Any) -> None:\n"
            "        super().__init__(*args, **kwargs)\n"
            "        name, password =",
            "    def confirm_login_allowed(self, user: Any) -> None:\n"
            "        pass\n\n"
            "    def __init__(self, *args: Any, **kwargs: Any) -> None:\n"
            "        super().__init__(*args, **kwargs)\n"
            "        name, password =",
        ),
        "test_accounts.py::test_35_nobody_signs_in_before_the_proof",
    ),
    defect(
        36,
        "The account is written into the session that is there",
        Edit(
            VIEWS,
            "            login(request, user, backend=backends.session_backend())\n",
            '            request.session["_auth_user_id"] = str(user.pk)\n'
            '            request.session["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[0]\n'
            '            request.session["_auth_user_hash"] = user.get_session_auth_hash()\n',
        ),
        "test_accounts.py::test_36_the_session_changes_its_key_at_sign_in",
    ),
    defect(
        37,
        "The CSRF token of forms is not checked",
        Edit("core/settings.py", '    "django.middleware.csrf.CsrfViewMiddleware",\n', ""),
        "test_accounts.py::test_37_other_sites_can_post_nothing",
    ),
    defect(
        37,
        "One page is exempt from the CSRF check",
        Edit(
            VIEWS,
            "from django.views.decorators.debug import",
            "from django.views.decorators.csrf import csrf_exempt\nfrom django.views.decorators.debug import",
        ),
        Edit(VIEWS, "@require_POST\ndef resend(", "@csrf_exempt\n@require_POST\ndef resend("),
        "test_accounts.py::test_37_other_sites_can_post_nothing[signup_resend]",
    ),
    defect(
        37,
        "A call that reads no body takes one of any Content-Type",
        Edit(PARSING, "    if not is_empty and content_type != StrictJSONParser.media_type:", "    if False:"),
        "test_api.py::test_37_a_page_elsewhere_can_post_nothing[text/plain]",
    ),
    defect(
        37,
        "A session is as good as a token",
        Edit(
            "signup/api/views.py",
            "    authentication_classes: tuple[Any, ...] = (tokens.Authentication,)",
            "    from rest_framework.authentication import SessionAuthentication\n\n"
            "    authentication_classes: tuple[Any, ...] = (tokens.Authentication, SessionAuthentication)",
        ),
        "test_api.py::test_37_a_page_elsewhere_can_post_nothing",
    ),
    defect(
        38,
        "Every path that begins with a slash is taken for a page of this site",
        Edit(VIEWS, 'return target if safe and target.startswith("/")', 'return target if target.startswith("/")'),
        "test_accounts.py::test_38_next_leads_nowhere_else",
    ),
    defect(
        39,
        "Links follow the host that the visitor used",
        Edit(
            "core/middleware.py",
            "        view = self.views.get(request.path)\n",
            "        from django.conf import settings\n"
            '        settings.SITE_URL = f"{request.scheme}://{request.get_host()}"\n'
            "        view = self.views.get(request.path)\n",
        ),
        "test_accounts.py::test_39_another_host_reaches_no_mail[HTTP_HOST]",
    ),
    defect(
        40,
        "The form's data is written onto the account",
        Edit(
            "signup/forms.py",
            "            return services.register(sign_up=sign_up, **chosen, language=languages.active(), terms=terms)\n",
            "            user = services.register(sign_up=sign_up, **chosen, language=languages.active(), terms=terms)\n"
            '            user.is_staff = bool(self.data.get("is_staff"))\n'
            "            user.save()\n"
            "            return user\n",
        ),
        "test_accounts.py::test_40_extra_fields_are_ignored",
    ),
    defect(
        40,
        "The body's fields are written onto the account",
        Edit(
            "signup/api/views.py",
            "        token = _sign_in(request, user).token\n",
            '        user.is_staff = bool(request.data.get("is_staff"))\n'
            "        user.save()\n"
            "        token = _sign_in(request, user).token\n",
        ),
        "test_api.py::test_40_extra_fields_are_ignored",
    ),
    defect(
        41,
        "Opening the mail's link proves the mailbox",
        Edit(
            VIEWS,
            "    is_new = Visitor(request).open_link(",
            '    services.prove(sign_up=sign_up, address=sign_up.address, code="", proof=proof)\n'
            "    is_new = Visitor(request).open_link(",
        ),
        "test_accounts.py::test_41_reading_changes_nothing",
    ),
    defect(
        41,
        'The first press of "This wasn\'t me" acts',
        Edit(VIEWS, "undo=undo):\n        context[", "undo=undo) and undo:\n        context["),
        "test_accounts.py::test_41_a_scanner_that_presses_buttons_changes_nothing[sign-up-False]",
    ),
    defect(
        41,
        "The first press on the link that undoes a mute acts",
        Edit(VIEWS, "undo=undo):\n        context[", "undo=undo) and not undo:\n        context["),
        "test_accounts.py::test_41_a_scanner_that_presses_buttons_changes_nothing[account-True]",
    ),
    defect(
        41,
        "Another mail can be asked for with a GET",
        Edit(VIEWS, "@require_POST\ndef resend(", '@require_http_methods(["GET", "POST"])\ndef resend('),
        "test_accounts.py::test_41_reading_changes_nothing",
    ),
    defect(
        41,
        "A header replaces the request's method",
        Edit(
            "signup/api/views.py",
            "        if request.method not in self.allowed_methods:",
            '        request.method = request.META.get("HTTP_X_HTTP_METHOD_OVERRIDE", request.method)\n'
            "        if request.method not in self.allowed_methods:",
        ),
        "test_api.py::test_41_no_method_stands_for_another",
    ),
    defect(
        41,
        "A call answers GET as it answers POST",
        Edit(
            "signup/api/views.py",
            "\n\nclass Login(OpenCall):",
            "\n    get = post\n\n\nclass Login(OpenCall):",
        ),
        "test_api.py::test_41_no_method_stands_for_another",
    ),
    defect(
        41,
        "Reading the delivery state changes the request",
        Edit(
            "signup/api/views.py",
            "        return Response(progress.delivery_state(sign_up)",
            "        sign_up.attempts += 1\n"
            "        sign_up.save()\n"
            "        return Response(progress.delivery_state(sign_up)",
        ),
        "test_api.py::test_41_reading_changes_nothing",
    ),
    defect(
        64,
        "The browser keeps a request for any link that has its handle, whatever the proof",
        Edit(VIEWS, "if sign_up is None or not codes.is_proof(sign_up, proof):", "if sign_up is None:"),
        "test_accounts.py::test_64_a_forged_link_changes_nothing",
        "test_accounts.py::test_64_a_forged_link_tells_nothing_of_a_handle",
    ),
    defect(
        64,
        "The oldest request leaves the cookie, also one that was begun here",
        Edit("signup/visitor.py", "(finished[each.handle], not each.own, not each.proof)", "0"),
        "test_accounts.py::test_64_links_end_no_sign_up_that_was_begun_here",
    ),
    defect(
        64,
        "A typed code is compared with the request that a link brought",
        Edit(
            "signup/visitor.py",
            "                not verification.holds_proof(sign_up, proof=held.proof),\n                not held.own,\n",
            "",
        ),
        "test_accounts.py::test_64_when_the_strangers_link_is_over_the_own_code_is_right",
    ),
    defect(
        64,
        "Asking again uses a request again that a link brought",
        Edit("signup/visitor.py", "for held in self.held.values() if held.own}", "for held in self.held.values()}"),
        "test_accounts.py::test_64_asking_again_goes_on_with_ones_own_request[signup]",
    ),
    defect(
        64,
        "The button for another mail uses a request again that a link brought",
        Edit(VIEWS, "if not sign_up.is_finished and not held.own:", "if False:"),
        "test_accounts.py::test_64_asking_again_goes_on_with_ones_own_request[signup_resend]",
    ),
    defect(
        64,
        "The request for another address is derived from what everybody has who holds the old one",
        Edit(
            VIEWS,
            "handle=visitor.handle_for(form_id, address),",
            'handle=codes.handle_for("", form_id, address),',
        ),
        "test_accounts.py::test_64_nobody_shares_a_request_that_another_address_made",
    ),
]
