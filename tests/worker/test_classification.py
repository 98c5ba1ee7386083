"""Whose a refusal is: the mailbox's, ours, the service's, or unclear."""

import re
import time
import tomllib
from pathlib import Path
from timeit import timeit

import pytest

from worker import classification
from worker.classification import Cause, cause_of, cause_of_status, without_code

FILE = Path(classification.__file__).parent / "data" / "replies.toml"
BLOCKED = "messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list"
FROM_GOOGLE = "For more information, go to https://support.google.com/mail/ - gsmtp"

REPLIES = {
    Cause.MAILBOX: [
        # QQ, Tencent Exmail
        "550 Mailbox not found. http://service.exmail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000728",
        "550 The recipient may contain a non-existent account, please check the recipient address.",
        # NetEase
        "550 Invalid User",
        "550 User suspended: bob@163.com",
        # Gmail
        f"550 5.1.1 The email account that you tried to reach does not exist. {FROM_GOOGLE}",
        f"550 5.2.1 The email account that you tried to reach is inactive. {FROM_GOOGLE}",
        f"452 4.2.2 The recipient's inbox is out of storage space. {FROM_GOOGLE}",
        f"553 5.1.2 We weren't able to find the recipient domain. {FROM_GOOGLE}",
        # Outlook, Microsoft 365
        "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302). [AM6EUR05FT050.eop-eur05.prod.protection.outlook.com]",
        "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [DB5EUR01FT012.eop-EUR01.prod.protection.outlook.com]",
        "550 5.4.1 Recipient address rejected: Access denied. [BL6PEPF0001AB78.namprd02.prod.outlook.com]",
        "550 5.4.1 All recipient addresses rejected : Access denied [DB5EUR01FT012.eop-EUR01.prod.protection.outlook.com]",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient bob@example.com not found by SMTP address lookup",
        # Yahoo
        "554 delivery error: dd This user doesn't have a yahoo.com account (bob@yahoo.com) [0] - mta1.mail.bf1.yahoo.com",
        "554 delivery error: dd Sorry, your message to bob@yahoo.com cannot be delivered. This mailbox is disabled (554.30).",
        "554 delivery error: dd Sorry, your message to bob@yahoo.com cannot be delivered. This account is over quota.",
        "552 1 Requested mail action aborted, mailbox not found",
        # Mail.ru, Yandex
        "550 Message was not accepted -- invalid mailbox. Local mailbox bob@mail.ru is unavailable: user not found",
        "550 Message was not accepted -- invalid mailbox. Local mailbox bob@mail.ru is unavailable: user is terminated",
        "550 5.7.1 No such user!",
        # iCloud
        "550 5.1.1 <bob@icloud.com>: user does not exist",
        "552 5.2.2 <bob@icloud.com>: user is over quota",
        # Alibaba
        "554 RCPT (bob@aliyun.com) dosn't exist",
        '553 "RCPT TO" mailbox unavailable',
        "552 mailbox is full",
        "559 Invalid rcptto [@sm080102]",
        # Postfix, Exim, qmail, Exchange, Dovecot, GMX
        "550 5.1.1 <bob@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
        "450 4.1.2 <bob@example.invalid>: Recipient address rejected: Domain not found",
        "550 5.4.4 Invalid domain",
        "550 5.4.4 Host or domain name not found. Name service error for name=example.invalid",
        "556 5.1.10 <bob@example.com>: Recipient address rejected: Domain example.com does not accept mail (nullMX)",
        "550 Unrouteable address",
        "550 No Such User Here",
        "550 sorry, no mailbox here by that name. (#5.1.1)",
        "511 sorry, no mailbox here by that name (#5.1.1 - chkuser)",
        "550 #5.1.0 Address rejected: unknown user",
        "550 Requested action not taken: mailbox unavailable",
        "552 5.2.2 <bob@example.com> Quota exceeded (mailbox for user is full)",
        "550 Host unknown",
        "556 Host does not accept mail: MX 0 .",
        "550 5.7.17 Mailbox owner has changed",
        "550 5.7.18 Domain owner has changed",
    ],
    Cause.RATE: [
        "554 5.2.121 The sender has exceeded the limit for the number of messages they can send to this recipient per hour",
        "554 5.2.122 The recipient has exceeded their limit for the number of messages they can receive per hour",
        "550 Connection frequency limited. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000722",
        "550 Ip frequency limited. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000725",
        "550 Domain frequency limited",
        "550 Domain school.example has exceeded the max emails per hour (100/100 (100%)) allowed. Message discarded.",
        "550 Domain school.example has exceeded the max defers and failures per hour (5/5 (100%)) allowed. Message discarded.",
        "550 5.7.0 Your message could not be sent. The limit on the number of allowed outgoing messages was exceeded. Try again later.",
        "452 4.3.2 Too many open connections.",
        "550 Maximum allowed e-mails per day reached",
        "550 Sender frequency limited.",
        "550 Mailbox unavailable or access denied",
        "550 RP:TRC smtp4,DtGowEB5wkx,192.0.2.1",
        "550 MI:STC 163 smtp10,D8CowAD3",
        "451 MI:SFQ 163 smtp8",
        "450 Requested mail action not taken: too much recipient",
        f"450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages. {FROM_GOOGLE}",
        f"550 5.2.1 The user you are trying to contact is receiving mail too quickly. {FROM_GOOGLE}",
        f"550 5.4.5 Daily user sending limit exceeded. {FROM_GOOGLE}",
        f"421 4.7.28 [192.0.2.1] Our system has detected an unusual rate of unsolicited mail. {FROM_GOOGLE}",
        "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
        "421 RP-001 (BAY004-MC1F1) Unfortunately, some messages from 192.0.2.1 weren't sent. Please try again.",
        "550-5.7.1 Email quota exceeded.",
        f"550 5.4.5 Daily SMTP relay limit exceeded for customer. {FROM_GOOGLE}",
        "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
        "450 Requested mail action not taken: mailbox unavailable. Mail send limit exceeded.",
        "550 Daily message quota exceeded",
        "550 5.7.1 sender account hourly quota has been exceeded",
        "550 User bob has exceeded its 24-hour sending limit. Messages to 512 recipients out of 500 allowed have been sent.",
        "450 User is receiving mail too quickly",
        "451 Ratelimit exceeded for mailbox bob@mail.ru. Try again later.",
        "451 4.5.1 The recipient has exceeded message rate limit. Try again later.",
        "421 4.7.1 Messages to bob@icloud.com deferred due to excessive volume. Try again later - https://support.apple.com/en-us/HT204137",
        "505 the total of RCPTs is achieved the maximum threshold",
        "454 Transient reject by behaviour spam at Rcpt State(Connection IP address:192.0.2.1)",
        "552 Daily sending quota exceeded",
        "450 4.2.0 <bob@example.com>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.com.html",
        "450 4.7.1 Error: too much mail from 192.0.2.1",
        "451 4.7.1 Try again later",
        "550 Sender rate exceeds 100 messages per 1h",
        "451 Sorry, too busy. Try again later.",
        "451 192.0.2.1 is not yet authorized to deliver mail from <noreply@doorcode.test> to <bob@example.com>. Please try later.",
    ],
    Cause.REPUTATION: [
        "550 Suspected spam sender.",
        "550 Ip denied",
        "554 HL:IPB 163 mx1,lecaws",
        "550 User in blacklist: bob@163.com",
        f"550 5.7.1 [192.0.2.1] this message is suspicious due to the very low reputation of the sending domain. {FROM_GOOGLE}",
        f"550 5.7.1 Unfortunately, {BLOCKED} (S3150).",
        f"550 SC-001 (BAY004-MC4F49) Unfortunately, {BLOCKED}.",
        "550 5.7.511 Access denied, banned sender[192.0.2.1].",
        "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a permanent exception",
        "421 4.2.1 Service refuse. Veuillez essayer plus tard. service refused, please try later. OFR_103 [103]",
        "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list",
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1",
        "550 Access from ip address 192.0.2.1 blocked. Visit http://help.mail.ru/notspam-support/id?c=abc",
        "554 5.7.1 [HM08] Message rejected due to local policy. Please visit https://support.apple.com/en-us/HT204137",
        "554 Reject by behaviour spam at Rcpt State(Connection IP address:192.0.2.1)",
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
        "550 JunkMail rejected - mail.example.com [192.0.2.1]:25 is in an RBL",
    ],
    Cause.CONTENT: [
        "554 DT:SPM 163 smtp14,EsCowAAXXXX,192.0.2.1,1700000000",
        "550 Mail content denied. http://service.exmail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000726",
        f"550 5.7.1 [192.0.2.1] Our system has detected that this message is likely unsolicited mail. {FROM_GOOGLE}",
        f"552 5.7.0 This message was blocked because its content presents a potential security issue. {FROM_GOOGLE}",
        "554 Message not allowed - [PH01] Email not accepted for policy reasons.",
        "550 spam message rejected. Please visit http://help.mail.ru/notspam-support/id?c=abc",
        "554 5.7.1 [1] Message rejected under suspicion of SPAM; https://ya.cc/1IrBc",
        "550 5.7.0 [CS01] Message rejected due to local policy. Please visit https://support.apple.com/en-us/HT204137",
        "554 Reject by content spam at Data State",
        "550 5.2.0 Mail rejete. Mail rejected. ofr_506 [506]",
        "554 5.7.0 Reject, id=01234-05 - INFECTED: Heuristics.Encrypted.Zip",
        "554 5.7.0 Reject, id=01234-05 - BANNED: text/html",
        "550 5.7.1 Blocked by SpamAssassin",
        "552 5.3.4 Message size exceeds fixed limit",
        "550 5.6.0 Message content not acceptable",
    ],
    Cause.AUTHENTICATION: [
        "550 MI:SPF 163 mx9",
        "554 DT:SUM 126 smtp4",
        "550 DMARC check failed http://service.mail.qq.com/cgi-bin/help?subtype=1&&no=1001508&&id=16",
        f"550 5.7.26 This mail has been blocked because the sender is unauthenticated. {FROM_GOOGLE}",
        f"550 5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup. {FROM_GOOGLE}",
        f"421 4.7.0 The IP address sending this message does not have a PTR record setup. {FROM_GOOGLE}",
        "550 5.7.515 Access denied, sending domain EXAMPLE.COM does not meet the required authentication level.",
        "550 5.7.1 This message was not accepted due to domain owner DMARC policy (RFC 7489) https://help.mail.ru/mail-help/postmaster/dmarc",
        "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]",
        "550 5.7.23 The message was rejected because of Sender Policy Framework violation",
    ],
    Cause.POLICY: [
        "550 5.1.2 Relay not allowed.",
        "550 Administrative prohibition",
        "550 Verification failed for <noreply@doorcode.test> Called: 192.0.2.1 Sent: RCPT TO:<noreply@doorcode.test> Response: 550 5.1.1 <noreply@doorcode.test>: Recipient address rejected: User unknown in local recipient table Sender verify failed",
        "550 Verification failed for <noreply@163.com> Called: 192.0.2.1 Sent: RCPT TO:<noreply@163.com> Response: 550 Invalid User Sender verify failed",
        "451 Could not complete sender verify callout",
        "550 Mail is rejected by recipients",
        "553 Mail from must equal authorized user",
        "554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes",
        "550 5.7.1 Policy rejection on the target address",
        "554 5.2.252 SendAsDenied; noreply@example.com not allowed to send as info@example.com; STOREDRV.Submission.Exception",
        "541 This account isn't allowed to send email",
        "551 Main account unavailable",
        "554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: "
        "bob@example.com",
        "554 Message rejected: Sending paused for this account.",
        "550 The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.",
        "550 The 'From' address you supplied (noreply@example.com) is not a Sender Signature on your account.",
        "550 Domain sandbox1.mailgun.org is not allowed to send: Free accounts are for test purposes only.",
        "554 5.7.1 <bob@example.com>: Relay access denied",
        "550 relay not permitted",
        "550 I cannot deliver mail for <bob@example.com>",
        "550 5.1.8 <noreply@example.com>: Sender address rejected: Domain not found",
        "550 5.5.1 Protocol error",
        "550 5.7.1 no",
    ],
    Cause.SERVICE: [
        "421 4.3.0 Temporary System Problem. Try again later",
        "451 4.3.2 Internal server error",
        "451 4.7.1 Service unavailable - try again later",
        "554 5.3.5 Local configuration error",
        "550 5.4.6 Routing loop detected",
    ],
    Cause.UNCLEAR: [
        "550 no",
        "554 Transaction failed",
        "550 5.0.0 rejected",
        "550 5.1.0 Address rejected",
        "451 try later",
        "550",
    ],
}


@pytest.mark.parametrize(
    ("cause", "reply"), [(cause, reply) for cause, replies in REPLIES.items() for reply in replies], ids=str
)
def test_whose_a_refusal_is(cause: Cause, reply: str) -> None:
    """Replies of large mail services and of common servers."""
    assert cause_of(reply) is cause


@pytest.mark.parametrize(
    "reply", ["250 OK", "354 go ahead", "muted", "superseded", "TimeoutError: timed out", "", "5500"]
)
def test_what_is_no_refusal_has_no_cause(reply: str) -> None:
    """Acceptances, and words of this site."""
    assert cause_of(reply) is None


@pytest.mark.parametrize(
    "address", ["spam@example.com", "<frequency-limited@dt.example>:", "blacklist@spamhaus.example"]
)
def test_the_address_of_a_visitor_does_not_decide(address: str) -> None:
    """Servers repeat it."""
    assert cause_of(f"550 {address} no such user here") is Cause.MAILBOX
    assert cause_of(f"550 {address} no") is Cause.UNCLEAR


def test_a_code_is_not_looked_for_in_an_ip_address_or_a_version() -> None:
    """Only where servers write it."""
    assert cause_of("550 4.1.1.20 is not welcome") is Cause.UNCLEAR
    assert cause_of("550 rejected by filter 5.1.1") is Cause.UNCLEAR


@pytest.mark.parametrize(
    ("status", "text", "cause"),
    [
        ("5.1.1", "", Cause.MAILBOX),
        ("4.2.2", "<spam@example.com> is full", Cause.MAILBOX),
        ("5.7.26", "user unknown", Cause.AUTHENTICATION),
        ("5.4.4", "Host or domain name not found. Name service error for name=exmaple.com", Cause.MAILBOX),
        ("5.4.4", "unable to look up host", Cause.SERVICE),
        ("4.0.0", "DNS Error: 41252 DNS type 'mx' lookup of gmal.com responded with code NXDOMAIN", Cause.MAILBOX),
        ("4.0.0", "DNS Error: DNS type 'mx' lookup of example.com had no relevant answers.", Cause.MAILBOX),
        ("5.0.0", "all relevant MX records point to non-existent hosts", Cause.MAILBOX),
        ("5.0.0", "an MX or SRV record indicated no SMTP service", Cause.MAILBOX),
        ("5.0.0", "Domain does not exist", Cause.MAILBOX),
        ("5.0.0", "rejected by system.(rejected&nbsp;by&nbsp;system)", Cause.CONTENT),
        ("5.0.0", "", Cause.UNCLEAR),
        ("2.1.5", "delivered", None),
        ("550", "user unknown", None),
        ("", "user unknown", None),
    ],
)
def test_a_status_may_stand_beside_its_text(status: str, text: str, cause: Cause | None) -> None:
    """As in a bounce; by the same order as in a reply."""
    assert cause_of_status(status, text) is cause


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("554 DT:SPM 主题2916 是你的验证码", "554 DT:SPM 主题… 是你的验证码"),
        ("554 5.7.1 Subject: =?utf-8?Q?2916_is_your_code?=", "554 5.7.1 Subject: =?utf-8?Q?…_is_your_code?="),
        ("451 4.7.1 try later, 29160 4x2916 2916a", "451 4.7.1 try later, 29160 4x2916 2916a"),
    ],
)
def test_a_quoted_code_is_taken_out_beside_any_other_script_or_sign(said: str, shown: str) -> None:
    """In a number, or beside a Latin letter, the digits are another thing's, such as a queue id."""
    assert without_code(said, "2916") == shown


def test_the_length_of_a_reply_costs_nothing() -> None:
    """Each pattern is linear in what is read of it, whatever a server writes."""
    cause_of("550 warm up")
    for piece in (
        "5",
        "a ",
        "user ",
        "exceeded ",
        "daily ",
        "delivery error: dd ",
        "\t",
        "(#5.1.1",
        "spf fail",
        "@ ",
        "550 5.",
    ):
        reply = "550 " + piece * 200_000
        assert cause_of(reply) is not None
        # CPU time alone, and without garbage collections: timeit turns them off
        assert timeit(lambda reply=reply: cause_of(reply), number=1, timer=time.process_time) < 0.5, piece


def test_every_text_has_its_source() -> None:
    """No entry lacks its origin; no gap in a text is unbounded; the texts compile, and are there once."""
    entries = tomllib.loads(FILE.read_text(encoding="utf-8"))["replies"]
    texts = [text for entry in entries for text in entry["texts"]]
    assert len(texts) == len(set(texts)) > 100
    for entry in entries:
        assert set(entry) - {"over_codes"} == {"service", "source", "cause", "texts"}
        assert entry["source"]
        assert entry["cause"] in Cause.values
    for text in texts:
        re.compile(text)
        assert not re.search(r"[.\w)\]][*+]", text), text


def test_the_causes_that_are_not_the_recipients() -> None:
    """The operator can do something about each of them, or the mail service."""
    assert set(Cause) - set(classification.BLOCKED) == {Cause.MAILBOX, Cause.UNCLEAR}
