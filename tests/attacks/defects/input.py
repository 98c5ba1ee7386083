"""Mistakes in how hostile input is read: attacks 19 to 30, and 52."""

from .model import Edit, defect

PARSING, SERIALIZERS = "signup/api/parsing.py", "signup/api/serializers.py"
CANONICAL = "        return email_addresses.canonical(typed) if typed else typed\n"  # of AddressField

INPUT = [
    defect(
        52,
        "The API looks a token up before it counts the password that comes with it",
        Edit("signup/api/views.py", '    password_methods = ("DELETE",)\n', ""),
        "test_cost.py::test_52_a_network_over_its_limit_costs_nothing[DELETE /api/users/me/]",
    ),
    defect(
        19,
        "Codes are compared in the digits that were typed",
        Edit(
            "verification/codes.py",
            'return "".join(str(unicodedata.decimal(digit)) for digit in digits)',
            "return digits",
        ),
        "test_input.py::test_19_people_write_digits_in_many_ways",
        "test_api.py::test_19_codes_as_people_write_them_are_right[arabic]",
    ),
    defect(
        19,
        "Any digits are digits of one code",
        Edit(
            "verification/codes.py",
            " or len({ord(digit) - unicodedata.decimal(digit) for digit in digits}) > 1:",
            ":",
        ),
        "test_input.py::test_19_what_python_would_take_for_a_number_is_no_code",
        "test_api.py::test_19_what_only_resembles_a_code_is_refused_uncounted[scripts]",
    ),
    defect(
        19,
        "The digits of all that was typed are the code",
        Edit(
            "verification/codes.py",
            'digits = re.sub(_SEPARATORS, "", found[1]) if found else ""',
            'digits = re.sub(r"\\D", "", typed)',
        ),
        "test_input.py::test_19_what_python_would_take_for_a_number_is_no_code",
    ),
    defect(
        19,
        "Characters that nobody sees make a code wrong",
        Edit("verification/codes.py", "invisible.without(typed)", "typed"),
        "test_input.py::test_19_people_write_digits_in_many_ways",
        "test_api.py::test_19_codes_as_people_write_them_are_right[invisible]",
    ),
    defect(
        19,
        "A JSON value that is not a string is converted to one",
        Edit(SERIALIZERS, "{name: data[name] for", "{name: str(data[name]) for"),
        "test_api.py::test_19_what_only_resembles_a_code_is_refused_uncounted[int]",
    ),
    defect(
        20,
        "Keyed hashes are made of ASCII",
        Edit(
            "verification/codes.py",
            "hmac.digest(own_key, message.encode(), sha256)",
            'hmac.digest(own_key, message.encode("ascii"), sha256)',
        ),
        "test_input.py::test_20_no_character_is_a_server_error",
    ),
    defect(
        21,
        "Addresses are not normalized before they are judged",
        Edit("core/email_addresses.py", 'unicodedata.normalize("NFKC", address).replace', "address.replace"),
        "test_input.py::test_21_letters_that_fold_into_others",
    ),
    defect(
        21,
        "Local parts outside ASCII are allowed",
        Edit("core/email_addresses.py", "allow_smtputf8=False", "allow_smtputf8=True"),
        "test_input.py::test_21_letters_that_fold_into_others",
    ),
    defect(
        22,
        "Domains are kept in the letters that were typed",
        Edit("core/email_addresses.py", "@{parsed.ascii_domain.removesuffix", "@{parsed.domain.removesuffix"),
        "test_input.py::test_22_domains_in_disguise",
    ),
    defect(
        22,
        "A local part may name a route to another domain",
        Edit("core/email_addresses.py", "if _ROUTE.search(local):", "if False:"),
        "test_input.py::test_22_no_address_leads_to_another_domain",
    ),
    defect(
        22,
        "The address is checked, and then used as it was typed",
        Edit(
            "signup/forms.py",
            CANONICAL,
            "        if typed:\n            email_addresses.canonical(typed)\n        return typed\n",
        ),
        "test_input.py::test_22_domains_in_disguise",
    ),
    defect(
        23,
        "Lower case is taken for the canonical form (form and model, each of which is enough)",
        Edit("signup/forms.py", CANONICAL, "        return typed.lower() if typed else typed\n"),
        Edit("signup/models.py", "email_addresses.canonical_or_none(address) or address", "address"),
        "test_input.py::test_23_one_account_for_one_canonical_address",
    ),
    defect(
        23,
        "Addresses are not unique in the database",
        Edit(
            "signup/models.py",
            "max_length=email_addresses.MAX_LENGTH, unique=True)",
            "max_length=email_addresses.MAX_LENGTH)",
        ),
        Edit(
            "signup/migrations/0001_initial.py",
            "models.EmailField(max_length=254, unique=True, ",
            "models.EmailField(max_length=254, ",
        ),
        "test_races.py::test_23_parallel_sign_ups_of_one_address_make_one_user[sqlite]",
        "test_input.py::test_23_one_account_for_one_canonical_address",
    ),
    defect(
        24,
        "The text after a line break in an address stays",
        Edit(
            "signup/forms.py",
            CANONICAL,
            '        first = typed.split()[0] if typed else ""\n'
            "        return email_addresses.canonical(first) + typed[len(first) :] if typed else typed\n",
        ),
        "test_input.py::test_24_line_breaks_reach_no_header",
    ),
    defect(
        25,
        "New passwords may contain NUL",
        Edit(
            "signup/forms.py",
            'super().__init__(strip=False, help_text=_("At least 8 characters"), **kwargs)\n',
            'super().__init__(strip=False, help_text=_("At least 8 characters"), **kwargs)\n'
            "        self.validators = []\n",
        ),
        "test_input.py::test_25_null_characters_are_an_error_at_the_field",
    ),
    defect(
        25,
        "An id goes to the database as it came",
        Edit("verification/models.py", " if is_handle(handle)]", "]"),
        "test_api.py::test_25_nul_is_refused_before_the_database[/api/users/-fields1]",
    ),
    defect(
        26,
        "Any encoding of a form is taken",
        Edit("core/middleware.py", '.lower() in ("utf-8", "utf8")', '.lower() != "utf-16"'),
        "test_input.py::test_26_half_surrogates_and_broken_utf8_are_no_server_error",
    ),
    defect(
        26,
        "Text in JSON need not be Unicode that can be encoded",
        Edit(PARSING, "allow_nan=False).encode()", "allow_nan=False)"),
        "test_api.py::test_26_half_surrogates_are_refused",
    ),
    defect(
        27,
        "The parser's error for endless nesting is not handled (and the limit of parts, which is enough, is gone)",
        Edit(PARSING, "PARTS = 1_000 ", "PARTS = 1_000_000 "),
        Edit(PARSING, "except (ValueError, RecursionError) as error", "except ValueError as error"),
        "test_api.py::test_27_json_bombs_are_refused_at_once[lists]",
    ),
    defect(
        27,
        "Constants that JSON does not know are accepted",
        Edit(PARSING, "allow_nan=False", "allow_nan=True"),
        "test_api.py::test_27_json_bombs_are_refused_at_once[NaN]",
    ),
    defect(
        27,
        "The last value of a key that comes twice counts",
        Edit(PARSING, ", object_pairs_hook=_unique_keys", ""),
        "test_api.py::test_27_json_bombs_are_refused_at_once[twins]",
    ),
    defect(
        28,
        "The length of a body is not checked",
        Edit("core/settings.py", '    "core.middleware.LimitBody",\n', ""),
        "test_input.py::test_28_large_bodies_and_files_are_refused_unread",
        "test_api.py::test_28_large_bodies_and_files_are_refused",
    ),
    defect(
        28,
        "A form may have 1,000 fields, Django's own limit",
        Edit("core/middleware.py", "if max(numbers) > lengths.FIELDS else", "if max(numbers) > 1_000 else"),
        "test_input.py::test_28_many_fields_are_refused",
    ),
    defect(
        29,
        "A sign-in hashes a password of any length",
        Edit(
            "signup/accounts/backends.py",
            "or len(passwords.normalize(password)) > lengths.PASSWORD:",
            "or len(password) > 1_000_000:",
        ),
        "test_input.py::test_29_long_passwords_are_never_hashed",
    ),
    defect(
        29,
        "No password is too long",
        Edit("core/passwords.py", "if len(password) > MAX_LENGTH:", "if False:"),
        "test_input.py::test_29_long_passwords_are_never_hashed",
        "test_api.py::test_29_endless_passwords_are_not_hashed",
    ),
    defect(
        30,
        "Dots and at-signs are part of a word",
        Edit(
            "signup/usernames.py",
            r"(?:[\p{L}\p{Nd}\p{Nl}\p{Mn}\p{Mc}_-]*",
            r"(?:[\p{L}\p{Nd}\p{Nl}\p{Mn}\p{Mc}.@_-]*",
        ),
        "test_input.py::test_30_usernames_that_pass_for_something_else",
    ),
    defect(
        30,
        "Scripts may be mixed",
        Edit("signup/usernames.py", " or not _IN_ONE_SCRIPT.fullmatch(username):", ":"),
        "test_input.py::test_30_usernames_that_pass_for_something_else",
    ),
    defect(
        30,
        "Names are unique as they are typed",
        Edit(
            "signup/usernames.py",
            'username = _NOT_JAMO.sub(lambda part: unicodedata.normalize("NFKC", part[0]), username.strip())',
            "username = username.strip()",
        ),
        Edit(
            "signup/usernames.py",
            "    if len(username) > lengths.USERNAME:\n        return username\n",
            "    return username\n",
        ),
        "test_input.py::test_30_names_of_one_script_are_fine",
    ),
    defect(
        30,
        "A letter that nobody sees is a letter",
        Edit("signup/usernames.py", " or _is_unusable(username):", ":"),
        "test_input.py::test_30_usernames_that_pass_for_something_else",
    ),
    defect(
        30,
        "A name is another one if any letter is",
        Edit("signup/usernames.py", "_fold(skeleton.translate(_prototypes()))", "_fold(skeleton)"),
        "test_input.py::test_30_names_that_look_alike_are_taken",
    ),
    defect(
        30,
        "No name is reserved",
        Edit("signup/usernames.py", "    return bare in _reserved() or", "    return"),
        "test_input.py::test_30_nobody_passes_for_the_sites_staff",
    ),
    defect(
        52,
        "Addresses are normalized however long they are",
        Edit("core/email_addresses.py", "if len(address) > lengths.ADDRESS:", "if len(address) > 1_000_000:"),
        "test_cost.py::test_52_nothing_long_is_normalized",
    ),
    defect(
        52,
        "Neither fields nor addresses have a maximum length",
        Edit("core/email_addresses.py", "if len(address) > lengths.ADDRESS:", "if len(address) > 1_000_000:"),
        Edit("core/lengths.py", "FIELD = 4_096 ", "FIELD = 1_000_000 "),
        "test_cost.py::test_52_no_form_field_is_expensive",
        "test_cost.py::test_52_no_body_of_json_is_expensive",
    ),
    defect(
        52,
        "Codes are normalized however long they are",
        Edit("verification/codes.py", "if len(typed) > lengths.CODE:", "if len(typed) > 1_000_000:"),
        "test_cost.py::test_52_nothing_long_is_normalized",
    ),
    defect(
        52,
        "Our forms bound their own fields, and nothing bounds those that Django reads",
        Edit("core/settings.py", '    "core.middleware.LimitFields",\n', ""),
        "test_cost.py::test_52_nothing_long_is_normalized",
    ),
    defect(
        52,
        "Headers are parsed however long they are",
        Edit("core/wsgi.py", "    bound_headers(environ)\n", ""),
        "test_cost.py::test_52_no_header_is_expensive",
    ),
    defect(
        52,
        "JSON may have any number of parts",
        Edit(PARSING, "PARTS = 1_000 ", "PARTS = 1_000_000 "),
        "test_cost.py::test_52_no_body_of_json_is_expensive[/api/users/]",
    ),
    defect(
        52,
        "Sign-ins are counted where the password is checked, after a session was looked up",
        Edit(
            "signup/accounts/views.py",
            '@method_decorator(limits.sign_ins_counted, name="dispatch")\nclass Login(',
            "class Login(",
        ),
        "test_cost.py::test_52_a_network_over_its_limit_costs_nothing[/login/]",
    ),
    defect(
        52,
        "The admin's sign-in page is Django's own",
        Edit("core/urls.py", '    path("admin/login/", admin_login, name="admin_login"),\n', ""),
        "test_cost.py::test_52_a_network_over_its_limit_costs_nothing[/admin/login/]",
    ),
]
