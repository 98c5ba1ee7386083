"""Slips in the domain of an address: `qq.con` for `qq.com`. They are offered for correction, never corrected."""

# Mailboxes of very many people. A domain that is one slip away from one of these, and is none of them, is a likely
# typo; of two as near, of the one that stands first. Real ones that look like a slip of another (mail.com of gmail.com)
# stand here for that reason.
DOMAINS = (
    "qq.com", "vip.qq.com", "foxmail.com", "163.com", "vip.163.com", "126.com", "yeah.net", "188.com", "139.com",
    "189.cn", "wo.cn", "sina.com", "sina.cn", "sohu.com", "21cn.com", "tom.com", "263.net", "aliyun.com",
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "live.cn", "msn.com", "mail.com",
    "icloud.com", "me.com", "mac.com", "yahoo.com", "yahoo.com.tw", "yahoo.com.hk", "yahoo.co.jp", "yahoo.co.uk",
    "ymail.com", "rocketmail.com", "aol.com", "gmx.com", "gmx.net", "gmx.de", "web.de", "proton.me", "protonmail.com",
    "hotmail.co.uk", "outlook.com.tw", "hinet.net", "seed.net.tw", "pchome.com.tw", "netvigator.com", "yandex.ru",
    "mail.ru", "email.com", "fastmail.com", "zoho.com", "naver.com", "daum.net",
)  # fmt: skip
_LONG = 9  # characters from which on two slips still leave no doubt


def suggest(address: str) -> str | None:
    """Return a canonical `address` with the domain that was probably meant; None where nothing looks like a slip."""
    local, _, domain = address.rpartition("@")
    if domain in DOMAINS:
        return None
    meant = min(DOMAINS, key=lambda known: _slips(domain, known))
    return f"{local}@{meant}" if _slips(domain, meant) <= (2 if len(meant) >= _LONG else 1) else None


def _slips(typed: str, meant: str) -> int:
    """Letters added, left out, changed, or swapped with their neighbour (optimal string alignment distance)."""
    if abs(len(typed) - len(meant)) > 2:
        return 3
    before, above = [0] * (len(meant) + 1), list(range(len(meant) + 1))
    for row, left in enumerate(typed, 1):
        here = [row]
        for column, right in enumerate(meant, 1):
            cost = min(above[column] + 1, here[-1] + 1, above[column - 1] + (left != right))
            if row > 1 < column and left == meant[column - 2] and typed[row - 2] == right:
                cost = min(cost, before[column - 2] + 1)
            here.append(cost)
        before, above = above, here
    return above[-1]
