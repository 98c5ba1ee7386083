"""Typos in the domain of an address: `qq.con` for `qq.com`. The page offers a correction, and never corrects itself."""

# Domains with very many mailboxes. Any other domain that is one edit away from one of them is a likely typo of it; of
# two as near, of the first. Some are here because they look like a typo of another: mail.com of gmail.com.
DOMAINS = (
    "qq.com", "vip.qq.com", "foxmail.com", "163.com", "vip.163.com", "126.com", "yeah.net", "188.com", "139.com",
    "189.cn", "wo.cn", "sina.com", "sina.cn", "sohu.com", "21cn.com", "tom.com", "263.net", "aliyun.com",
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "live.cn", "msn.com", "mail.com",
    "icloud.com", "me.com", "mac.com", "yahoo.com", "yahoo.com.tw", "yahoo.com.hk", "yahoo.co.jp", "yahoo.co.uk",
    "ymail.com", "rocketmail.com", "aol.com", "gmx.com", "gmx.net", "gmx.de", "web.de", "proton.me", "protonmail.com",
    "hotmail.co.uk", "outlook.com.tw", "hinet.net", "seed.net.tw", "pchome.com.tw", "netvigator.com", "yandex.ru",
    "mail.ru", "email.com", "fastmail.com", "zoho.com", "naver.com", "daum.net",
)  # fmt: skip
_LONG = 9  # characters; two edits of a domain this long still leave no doubt


def suggest(address: str) -> str | None:
    """Return a canonical `address` with the domain that was probably meant; None if the domain looks right."""
    local, _, domain = address.rpartition("@")
    if domain in DOMAINS:
        return None
    meant = min(DOMAINS, key=lambda known: _edits(domain, known))
    return f"{local}@{meant}" if _edits(domain, meant) <= (2 if len(meant) >= _LONG else 1) else None


def _edits(typed: str, meant: str) -> int:
    """Letters added, left out, changed or swapped with their neighbour (optimal string alignment distance)."""
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
