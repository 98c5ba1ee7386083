"""Mistakes about whose account it becomes: attacks 31 to 41."""

from .guessing import ANY_ACCOUNT
from .model import Edit, defect

SERVICES, VIEWS, PARSING = "signup/services.py", "signup/views.py", "signup/api/parsing.py"

ACCOUNTS = [
    defect(
        31,
        "Once the mailbox is proven, whoever holds the request may finish it",
        Edit(
            "verification/services.py",
            "    if state is State.LOST or sign_up.decoy or not link_proof:\n",
            "    if sign_up.proven_at and state is not State.LOST:\n"
            "        return True\n"
            "    if state is State.LOST or sign_up.decoy or not link_proof:\n",
        ),
        "test_accounts.py::test_31_the_owner_proves_a_strangers_request_and_stumbles",
    ),
    defect(
        31,
        "The password that was typed first is kept for the account",
        Edit(
            "signup/forms.py",
            '        address = self.cleaned_data["email"]\n        try:\n',
            '        address = self.cleaned_data["email"]\n'
            "        person = User.objects.get(email=address)\n"
            "        if not person.has_usable_password():\n"
            '            person.set_password(self.cleaned_data["password"])\n'
            "            person.save()\n"
            "        try:\n",
        ),
        Edit(SERVICES, '        "password": hashed,\n', ""),
        "test_accounts.py::test_31_a_stranger_prepares_nothing_for_the_owner",
    ),
    defect(
        32,
        "A new request takes the earlier ones of its address away",
        Edit(
            "verification/services.py",
            "    captcha = CaptchaModel.objects.create(\n",
            "    CaptchaModel.objects.filter(address=address, redeemed_at=None).update(redeemed_at=now)\n"
            "    captcha = CaptchaModel.objects.create(\n",
        ),
        "test_accounts.py::test_32_asking_again_changes_nothing_of_the_first_asker",
    ),
    defect(
        32,
        "A longer code is a new generation: the link that is out dies",
        Edit(
            "verification/services.py",
            '    sign_up.length, sign_up.attempts = length, 0\n    sign_up.save(update_fields=["length", "attempts"])',
            "    sign_up.length, sign_up.attempts, sign_up.generation = length, 0, sign_up.generation + 1\n"
            '    sign_up.save(update_fields=["length", "attempts", "generation"])',
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
        "The username is kept for who typed it, before the code is looked at",
        Edit(
            "signup/forms.py",
            '        address = self.cleaned_data["email"]\n        try:\n',
            '        address = self.cleaned_data["email"]\n'
            '        User.objects.pending().filter(email=address).update(username=self.cleaned_data["username"])\n'
            "        try:\n",
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
        Edit(SERVICES, "User.objects.filter(email=address, is_active=True)", "User.objects.filter(email=address)"),
        "test_accounts.py::test_34_a_disabled_account_stays_disabled",
    ),
    defect(
        35,
        "An account that waits for its proof gets a reset mail (two conditions, each of which holds alone)",
        Edit(SERVICES, "User.objects.filter(email=address, is_active=True)", "User.objects.filter(email=address)"),
        Edit(SERVICES, "user.pk if user and user.has_usable_password() else None", "user.pk if user else None"),
        "test_accounts.py::test_35_nobody_signs_in_before_the_proof",
    ),
    defect(
        35,
        "Nothing asks whether an account is active (three layers, each of which holds alone)",
        Edit("signup/accounts/backends.py", " or not self.user_can_authenticate(user)", ""),
        Edit("signup/models.py", "self.exclude(PENDING).get(", "self.get("),
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
            "    login(request, user, backend=BACKEND)\n",
            '    request.session["_auth_user_id"] = str(user.pk)\n'
            '    request.session["_auth_user_backend"] = BACKEND\n'
            '    request.session["_auth_user_hash"] = user.get_session_auth_hash()\n',
        ),
        "test_accounts.py::test_36_the_session_changes_its_key_at_sign_in",
    ),
    defect(
        37,
        "Nobody checks the forms' token",
        Edit("core/settings.py", '    "django.middleware.csrf.CsrfViewMiddleware",\n', ""),
        "test_accounts.py::test_37_other_sites_can_post_nothing",
    ),
    defect(
        37,
        "A page is let out of the check of the forms' token",
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
        "A body is read as JSON, whatever it is said to be",
        Edit(PARSING, "    if not is_empty and content_type != StrictJSONParser.media_type:", "    if False:"),
        "test_api.py::test_37_a_page_elsewhere_can_post_nothing[text/plain]",
    ),
    defect(
        37,
        "A session is as good as a token",
        Edit(
            "core/settings.py",
            '["signup.api.tokens.Authentication"]',
            '["signup.api.tokens.Authentication", "rest_framework.authentication.SessionAuthentication"]',
        ),
        "test_api.py::test_37_a_page_elsewhere_can_post_nothing",
    ),
    defect(
        38,
        "Whatever begins with a slash is taken for a page of this site",
        Edit(VIEWS, 'return target if safe and target.startswith("/")', 'return target if target.startswith("/")'),
        "test_accounts.py::test_38_next_leads_nowhere_else",
    ),
    defect(
        39,
        "Links follow the host that the visitor used",
        Edit(
            "core/middleware.py",
            "        response = get_response(request)\n        response.headers.setdefault(",
            '        settings.SITE_URL = f"{request.scheme}://{request.get_host()}"\n'
            "        response = get_response(request)\n        response.headers.setdefault(",
        ),
        "test_accounts.py::test_39_another_host_reaches_no_mail[HTTP_HOST]",
    ),
    defect(
        40,
        "The form's data is written onto the account",
        Edit(
            "signup/forms.py",
            "            return services.register(sign_up=self.chosen, username=username, password=password, language=language)\n",
            "            user = services.register(sign_up=self.chosen, username=username, password=password, language=language)\n"
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
        "Looking at the mail's link proves",
        Edit(
            VIEWS,
            "    if captcha:\n        _mark(",
            "    if captcha:\n"
            '        verification.prove(sign_up=sign_up, address=sign_up.address, code="", link_proof=link_proof)\n'
            "        _mark(",
        ),
        "test_accounts.py::test_41_reading_changes_nothing",
    ),
    defect(
        41,
        "Another mail can be asked for with a GET",
        Edit(VIEWS, "@require_POST\ndef resend(", '@require_http_methods(["GET", "POST"])\ndef resend('),
        "test_accounts.py::test_41_reading_changes_nothing",
    ),
    defect(
        41,
        "A header says which method was meant",
        Edit(
            "signup/api/views.py",
            "        translation.activate(self.language(request))\n",
            "        translation.activate(self.language(request))\n"
            '        request.method = request.META.get("HTTP_X_HTTP_METHOD_OVERRIDE", request.method)\n',
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
        "Looking at the delivery state touches the request",
        Edit(
            "signup/api/views.py",
            "        return Response(progress.delivery_state(_in_path(id)))",
            "        captcha = _in_path(id)\n"
            "        CaptchaModel.objects.filter(pk=sign_up.pk).update(attempts=sign_up.attempts + 1)\n"
            "        return Response(progress.delivery_state(sign_up))",
        ),
        "test_api.py::test_41_reading_changes_nothing",
    ),
    defect(
        64,
        "Any well-formed link marks the browser",
        Edit(
            "verification/models.py",
            "return found[0] if found and keys.is_link_proof(found[0], link_proof) else None",
            "return found[0] if found else None",
        ),
        "test_accounts.py::test_64_a_forged_link_changes_nothing",
        "test_accounts.py::test_64_a_forged_link_tells_nothing_of_a_handle",
    ),
    defect(
        64,
        "The oldest request leaves the cookie, whoever began it",
        Edit("signup/handles.py", "key=lambda each: (not each.own, not each.link_proof)", "key=lambda each: 0"),
        "test_accounts.py::test_64_links_end_no_sign_up_that_was_begun_here",
    ),
    defect(
        64,
        "A typed code is compared with the request that a link brought",
        Edit(
            VIEWS,
            "            not verification.holds_proof(sign_up, link_proof=entry.link_proof),\n            not entry.own,\n",
            "",
        ),
        "test_accounts.py::test_64_when_the_strangers_link_is_over_the_own_code_is_right",
    ),
    defect(
        64,
        "Asking again goes on with a request that a link brought",
        Edit("signup/handles.py", "for each in entries if each.own}", "for each in entries}"),
        "test_accounts.py::test_64_asking_again_goes_on_with_ones_own_request",
    ),
]
