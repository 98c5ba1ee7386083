"""Mistakes about the rights of operators: attacks 59 to 63."""

from .model import Edit, defect

ACCOUNTS, MODELS, PASSWORDS = "signup/admin/accounts.py", "signup/models.py", "core/passwords.py"

ADMIN = [
    defect(
        59,
        "Staff who may change accounts may give permissions",
        Edit(
            ACCOUNTS,
            "return self.readonly_fields if request.user.is_superuser else (*self.readonly_fields, *PERMISSIONS)",
            "return self.readonly_fields",
        ),
        "test_admin.py::test_59_staff_gives_nobody_permissions[somebody else]",
    ),
    defect(
        59,
        "Staff who may change groups may change a group's permissions",
        Edit(
            ACCOUNTS,
            "    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:\n"
            "        return request.user.is_superuser",
            "    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:\n"
            "        return super().has_change_permission(request, obj)",
        ),
        "test_admin.py::test_59_staff_gives_its_group_no_permissions",
    ),
    defect(
        59,
        "Staff who may change accounts may change those of superusers",
        Edit(
            ACCOUNTS,
            "super().has_change_permission(request, obj) and (obj is None or obj.is_changeable_by(request.user))",
            "super().has_change_permission(request, obj)",
        ),
        "test_admin.py::test_59_staff_touches_no_other_staff[superuser-password]",
        "test_admin.py::test_59_staff_touches_no_other_staff[staff-address]",
    ),
    defect(
        59,
        "Staff who may delete accounts may delete those of superusers",
        Edit(
            ACCOUNTS,
            "super().has_delete_permission(request, obj) and (obj is None or obj.is_changeable_by(request.user))",
            "super().has_delete_permission(request, obj)",
        ),
        "test_admin.py::test_59_staff_touches_no_other_staff[superuser-deleted as one of many]",
    ),
    defect(
        59,
        "An action changes accounts of staff too",
        Edit(MODELS, "return self if operator.is_superuser else self.exclude(", "return self or self.exclude("),
        "test_admin.py::test_59_staff_touches_no_other_staff[staff-disabled as one of many]",
        "test_admin.py::test_59_staff_brings_no_disabled_staff_back",
    ),
    defect(
        60,
        "A tick in the form activates an account that nobody has proven",
        Edit(ACCOUNTS, "if active and not self.instance.is_proven:", "if active is None:"),
        "test_admin.py::test_60_the_form_activates_no_unproven_account",
        "test_admin.py::test_60_saving_first_and_activating_later_activates_no_unproven_account[form]",
    ),
    defect(
        60,
        "An account that an operator disabled counts as proven: in the form",
        Edit(MODELS, "bool(self.activated_at and self.username)", "self.activated_at is not None"),
        "test_admin.py::test_60_saving_first_and_activating_later_activates_no_unproven_account[form]",
    ),
    defect(
        60,
        "An account that an operator disabled counts as proven: in the action",
        Edit(MODELS, "Q(activated_at__isnull=False, username__isnull=False)", "Q(activated_at__isnull=False)"),
        "test_admin.py::test_60_saving_first_and_activating_later_activates_no_unproven_account[action]",
    ),
    defect(
        61,
        "The admin has Django's own page for a new password",
        Edit("core/urls.py", 'path("admin/password_change/",', 'path("admin/another_password/",'),
        "test_admin.py::test_61_the_admins_password_page_is_the_sites_own",
    ),
    defect(
        61,
        "The mailbox gets no mail about a password that an operator set",
        Edit(ACCOUNTS, "    change_password_form = AccountPasswordForm\n", ""),
        "test_admin.py::test_61_a_password_that_an_operator_sets_is_told_to_the_mailbox",
    ),
    defect(
        61,
        "The command sets the password itself, as Django's does",
        Edit(
            "signup/management/commands/changepassword.py",
            "        form.save()\n",
            "        user.set_password(first)\n        user.save()\n",
        ),
        "test_admin.py::test_61_the_command_tells_the_mailbox_too",
    ),
    defect(
        62,
        "A session ends with the password alone",
        Edit(
            MODELS,
            "return super().get_session_auth_hash() + self.session_salt",
            "return super().get_session_auth_hash()",
        ),
        "test_admin.py::test_62_disabling_ends_sessions_tokens_and_reset_links",
        "test_admin.py::test_62_each_disabling_ends_what_began_since_the_last",
    ),
    defect(
        62,
        "Sessions end when a disabled account is saved, and not when a query updates it",
        Edit(MODELS, 'if "is_active" not in values:', "if values:"),
        "test_admin.py::test_62_disabling_ends_sessions_tokens_and_reset_links[by_action]",
        "test_admin.py::test_62_disabling_ends_sessions_tokens_and_reset_links[by_bulk_update]",
    ),
    defect(
        62,
        "A disabled account keeps its API tokens",
        Edit(MODELS, "ends_tokens = is_disabled or (", "ends_tokens = ("),
        "test_admin.py::test_62_disabling_ends_sessions_tokens_and_reset_links[by_form]",
    ),
    defect(
        62,
        "An old reset link works again once the account does",
        Edit(PASSWORDS, "    generator.key_salt += user.session_salt\n", ""),
        "test_admin.py::test_62_disabling_ends_sessions_tokens_and_reset_links",
    ),
    defect(
        63,
        "Lists answer every filter that Django allows",
        Edit(
            "signup/admin/base.py",
            "        return any(lookup in _parameters(each)",
            "        if super().lookup_allowed(lookup, value, request):\n            return True\n        return any(lookup in _parameters(each)",
        ),
        "test_admin.py::test_63_a_list_answers_its_own_filters_alone[verification.captchamodel]",
        "test_admin.py::test_63_a_list_answers_its_own_filters_alone[signup.user]",
    ),
    defect(
        63,
        "A search looks through handles too",
        Edit(
            "signup/admin/logs.py",
            "    def describe(self, row: CaptchaModel) -> tuple[Any, ...]:\n",
            "    def find(self, rows: QuerySet, word: str) -> list[Any]:\n"
            '        by_handle = rows.filter(handle__startswith=word).values_list("pk", flat=True)\n'
            "        return [*super().find(rows, word), *by_handle]\n\n"
            "    def describe(self, row: CaptchaModel) -> tuple[Any, ...]:\n",
        ),
        "test_admin.py::test_63_no_search_finds_a_row_by_a_secret",
    ),
]
