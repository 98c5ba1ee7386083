"""Mistakes about who gets the mails, and what a neighbour's tells: attacks 71 to 76."""

from .model import Edit, defect

LIMITS, SENDER = "worker/mail_limits.py", "worker/sending.py"

STARVATION = [
    defect(
        71,
        "First come, first served: a mailbox's places are not spread over the day",
        Edit(LIMITS, "        if seconds == rates[-1][1] and len(inside) >= AT_ONCE:\n", "        if False:\n"),
        "test_starvation.py::test_71_a_besieged_owner_gets_in[any]",
    ),
    defect(
        71,
        "A new network waits as long as those that had mails",
        Edit(LIMITS, "    if network not in known and len(known) <= NEWCOMERS:\n", "    if False:\n"),
        "test_starvation.py::test_71_a_besieged_owner_gets_in[two]",
    ),
    defect(
        72,
        "Password resets take their places from sign-ups'",
        Edit(
            LIMITS,
            'RESETS = MailLimit("LIMIT_RESETS_MAILBOX", "LIMIT_RESETS_SITE", "resets")',
            'RESETS = MailLimit("LIMIT_MAILS_MAILBOX", "LIMIT_MAILS_SITE", "mails")',
        ),
        Edit(LIMITS, "    return account if limit is RESETS else ~account\n", "    return account | ~account\n"),
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
        Edit(SENDER, "            time.sleep(_pace.like_another())", "            _pace.like_another()"),
        "test_enumeration.py::test_74_a_neighbours_mail_says_nothing_of_an_account",
    ),
    defect(
        74,
        "Resets are recorded in groups",
        Edit(SENDER, "            alone = delivery.kind in ACCOUNT_KINDS\n", "            alone = False\n"),
        "test_enumeration.py::test_74_each_reset_is_on_record_before_the_next_is_sent",
    ),
    defect(
        74,
        "All kinds of mail are claimed together",
        Edit(LIMITS, "    return account if limit is RESETS else ~account\n", "    return account | ~account\n"),
        "test_enumeration.py::test_74_mails_about_accounts_are_claimed_apart",
    ),
    defect(
        75,
        "Times are told as they are kept",
        Edit("core/clock.py", "at.replace(microsecond=0).isoformat()", "at.isoformat()"),
        "test_enumeration.py::test_75_times_are_told_in_whole_seconds",
    ),
    defect(
        76,
        "All of the site's mails go to whoever asks first",
        Edit(
            LIMITS, "    if room is None or room > min(limit.site_rates)[0] // 4:\n", "    if room is None or room:\n"
        ),
        "test_starvation.py::test_76_a_stranger_fills_only_part_of_the_sites_mails",
    ),
]
