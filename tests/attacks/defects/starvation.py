"""Mistakes about who gets the mails, and what one mail shows about another: attacks 71 to 79."""

from .model import Edit, defect

LIMITS, SENDER = "worker/mail_limits.py", "worker/sending.py"
ONE_GROUP = (
    Edit(LIMITS, "SIGN_UP_MAILS = MailLimit(~Q(kind__in=ACCOUNT_KINDS), ", "SIGN_UP_MAILS = MailLimit(Q(), "),
    Edit(LIMITS, "ACCOUNT_MAILS = MailLimit(Q(kind__in=ACCOUNT_KINDS), ", "ACCOUNT_MAILS = MailLimit(Q(), "),
)

STARVATION = [
    defect(
        71,
        "First come, first served: a mailbox's places are not spread over the day",
        Edit(LIMITS, "        if seconds == longest and len(inside) >= AT_ONCE:\n", "        if False:\n"),
        "test_starvation.py::test_71_a_besieged_owner_gets_in[any-asks]",
    ),
    defect(
        71,
        "A new network waits as long as those that had mails",
        Edit(LIMITS, "    if network not in known and len(known) <= NEWCOMERS:\n", "    if False:\n"),
        "test_starvation.py::test_71_a_besieged_owner_gets_in[two-asks]",
    ),
    defect(
        71,
        "A new code ends the links of former mails",
        Edit(
            "verification/services.py",
            "return codes.is_proof(sign_up, proof)",
            "return codes.same(codes.proof_of(sign_up), proof)",
        ),
        "test_starvation.py::test_71_a_besieged_owner_gets_in[any-spoils]",
    ),
    defect(
        72,
        "Password resets use the places of sign-up mails",
        Edit(
            LIMITS,
            '"LIMIT_RESETS_MAILBOX", "LIMIT_RESETS_SITE", "resets")',
            '"LIMIT_MAILS_MAILBOX", "LIMIT_MAILS_SITE", "mails")',
        ),
        *ONE_GROUP,
        "test_starvation.py::test_72_a_reset_comes_within_two_minutes",
    ),
    defect(
        73,
        "A muted mail takes a place",
        Edit(LIMITS, " and not each.is_held_back]", "]"),
        "test_starvation.py::test_73_a_mail_that_is_held_back_takes_no_place",
    ),
    defect(
        74,
        "A reset for nobody is dropped at once",
        Edit(SENDER, "            time.sleep(_pace.recent_send())  #", "            _pace.recent_send()  #"),
        "test_enumeration.py::test_74_a_neighbours_mail_says_nothing_of_an_account",
    ),
    defect(
        74,
        "Resets are recorded in groups",
        Edit(SENDER, "wait=delivery.is_about_account", "wait=False"),
        "test_enumeration.py::test_74_each_reset_is_on_record_before_the_next_is_sent",
    ),
    defect(
        74,
        "All kinds of mail are claimed together",
        *ONE_GROUP,
        "test_enumeration.py::test_74_mails_about_accounts_are_claimed_apart",
    ),
    defect(
        75,
        "Times are shown as exactly as they are stored",
        Edit("core/clock.py", "%H:%M:%SZ", "%H:%M:%S.%fZ"),
        "test_enumeration.py::test_75_times_are_told_in_whole_seconds",
    ),
    defect(
        76,
        "All of the site's mails go to the first networks that ask",
        Edit(LIMITS, "    return min(limit.site_rates)[0] // 4\n", "    return 0\n"),
        "test_starvation.py::test_76_a_stranger_fills_only_part_of_the_sites_mails",
    ),
    defect(
        77,
        "A report is about the latest mail, if none has its Message-ID",
        Edit(
            "worker/bounces.py",
            "            return Delivery.objects.filter(message_id=self.message_id)\n",
            "            mine = Delivery.objects.filter(message_id=self.message_id)\n"
            "            return mine if mine.exists() else Delivery.objects.order_by('-pk')\n",
        ),
        "test_starvation.py::test_77_a_forged_report_stops_nobodys_mail",
    ),
    defect(
        77,
        "Any key of a mail service counts as one by which it signs",
        Edit(
            "core/mail_urls.py",
            "    return bool(anymail.get(needed))\n",
            "    return bool(anymail.get(needed)) or any(name.startswith(service.upper()) for name in anymail)\n",
        ),
        "test_starvation.py::test_77_a_webhook_that_cant_tell_forged_reports_does_not_exist",
    ),
    defect(
        77,
        "A report lengthens the suppression that runs",
        Edit("worker/suppression.py", "    if known and known.until > now:\n        return\n", ""),
        "test_starvation.py::test_77_reports_stop_mail_for_no_longer_than_one_does",
    ),
    defect(
        77,
        "A repeated report counts again",
        Edit("worker/bounces.py", "in (report.state, State.COMPLAINED):", "== State.COMPLAINED:"),
        "test_starvation.py::test_77_reports_stop_mail_for_no_longer_than_one_does",
    ),
    defect(
        78,
        "Whatever is claimed first finds out whether the mail server is back",
        Edit(SENDER, "    if is_trial:", "    if is_trial and not claimed:"),
        "test_starvation.py::test_78_no_stranger_keeps_a_mail_server_alone",
    ),
    defect(
        79,
        "A renewal is of the mails with these ids, whoever claimed them",
        Edit(
            "worker/outbox.py",
            "Delivery.objects.leased(*deliveries)",
            "Delivery.objects.filter(pk__in=[each.pk for each in deliveries])",
        ),
        "test_starvation.py::test_79_a_worker_leaves_the_mails_of_another_to_it",
    ),
    defect(
        79,
        "A lease that ended while the database was away is that of a dead worker",
        Edit("worker/sweeper.py", "        if clock.uptime() - _answered_at > AWAY:\n", "        if False:\n"),
        "test_starvation.py::test_79_an_outage_of_the_database_gives_no_mail_to_another",
    ),
]
