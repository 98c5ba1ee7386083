"""MAIL, RCPT and DATA: in one packet where the server takes that (PIPELINING, RFC 2920), else one after the other."""

import smtplib

Answer = tuple[int, bytes]

GOOD = {"MAIL": (250,), "RCPT": (250, 251), "DATA": (354,)}


def announce(smtp: smtplib.SMTP, *, sender: str, recipient: str, data: bool) -> list[Answer]:
    """
    Say whom a mail is from and for, and with `data` that it comes now. Return the answers up to the first that is bad.

    A server that wants the mail though it took no recipient is left hanging: its connection is closed. Raises what
    smtplib raises, and ValueError for an address that no command can carry.
    """
    commands = [f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", *(["DATA"] if data else [])]
    if smtp.has_extn("pipelining"):
        return _together(smtp, commands)
    answers: list[Answer] = []
    for command in commands:
        answers.append(smtp.docmd(command))
        if not _is_good(command, answers[-1]):
            break
    return answers


def _together(smtp: smtplib.SMTP, commands: list[str]) -> list[Answer]:
    if any("\r" in command or "\n" in command for command in commands):
        raise ValueError("an address has a line break")
    smtp.send("".join(f"{command}\r\n" for command in commands))
    answers: list[Answer] = []
    bad = False
    for command in commands:
        try:
            answer = smtp.getreply()
        except (OSError, smtplib.SMTPException):
            if bad:  # it said why, and hung up
                break
            raise
        if bad and _is_good("DATA", answer):
            smtp.close()
        if not bad:
            answers.append(answer)
        bad = bad or not _is_good(command, answer)
    return answers


def _is_good(command: str, answer: Answer) -> bool:
    return answer[0] in GOOD[command[:4]]
