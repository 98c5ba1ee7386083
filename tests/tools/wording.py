"""What can be told of a text without reading it: placeholders, punctuation, terms, the two Chinese scripts."""

import re
from collections.abc import Iterator
from functools import cache

from babel.messages.catalog import Message
from opencc import OpenCC

_PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")
_CLOSINGS = {".": ".。।۔", "?": "?？؟", "!": "!！", ":": ":：", "…": "…"}  # of a source, and what may stand for it
_CJK = r"[\u3400-\u9fff]"
_HALF_WIDTH = re.compile(rf"[()]|{_CJK}[,.;:!?]|[,;:!?]\s?{_CJK}")
_NO_SPACE = re.compile(rf"{_CJK}[A-Za-z0-9]|[A-Za-z0-9]{_CJK}")
# Of each script: the conversion into it, which must change nothing, and the "you" that the other says.
_CHINESE = {"zh_Hans": ("t2s", "您"), "zh_Hant": ("s2t", "你")}
# One term for each thing: what would be a second one, and the term.
_TERMS = {
    "en": {
        r"[Ss]omebody": "Someone",
        r"\b(is|are) not (right|correct)\b": "is incorrect",
        r"\bmust be \S+ numbers\b": "digits",
        r"\bworks for %": "expires in",
        r"\bat once\b": "now",
        r"\b(none|nobody) (is due|answers)\b": "no mail is due, no worker answers",
    },
    "zh_Hans": {
        "登陆|登入": "登录",
        "帐号|帐户": "账号",
        "主人": "持有人",
        "消息代理": "消息队列",
        "猜测|猜错|错误次数(?!过多)": "尝试",
        "无应答": "无响应",
    },
    "zh_Hant": {
        "登錄|登陸": "登入",
        "賬號|帳戶": "帳號",
        "主人": "持有人",
        "訊息代理": "訊息佇列",
        "猜測|猜錯|錯誤次數(?!過多)": "嘗試",
        "遞送": "投遞",
        "等候": "等待",
        "程序": "行程",
        "已(重新)?寄送|(?<!已)重新寄出": "已寄出 when it is done, 寄送 before",
        "此電子郵件|該電子郵件|電子郵件(?:已|註冊|持有人)": "信箱",
    },
}
_ARTICLE = re.compile(r"(Change|Create|Reset|Show|Hide|Continue) the \w+( \w+)?$")


def problems(message: Message, locale: str) -> Iterator[str]:
    """Yield what is wrong with a message's translation into `locale`, each with the text it is about."""
    ids, texts = _both(message.id), _both(message.string)
    if message.fuzzy:
        yield f"fuzzy: {ids[0]!r}"
    if not all(texts):
        yield f"not translated: {ids[0]!r}"
        return
    on_page = any(path.startswith("templates/") for path, _line in message.locations)
    if locale == "en" and on_page and _ARTICLE.match(ids[0]):
        yield f'a title or button has no "the": {ids[0]!r}'
    for text in texts:
        yield from (f"{problem}: {text!r}" for problem in (*_shape(ids, text), *_terms(text, locale)))
        if locale in _CHINESE:
            yield from (f"{problem}: {text!r}" for problem in _chinese(text, locale))


def _shape(ids: tuple[str, ...], text: str) -> Iterator[str]:
    wanted, found = (set(_PLACEHOLDER.findall(source)) for source in ("".join(ids), text))
    if found - wanted:
        yield f"unknown placeholders {sorted(found - wanted)}"
    if wanted - found and len(ids) == 1:  # a plural may say a number in words
        yield f"lost placeholders {sorted(wanted - found)}"
    closing = ids[-1].rstrip()[-1:]
    if closing in _CLOSINGS:
        if text.rstrip()[-1] not in _CLOSINGS[closing]:
            yield f"does not end as its source does, with {closing}"
    elif "。" in text[:-1]:
        if text[-1] != "。":
            yield "no full stop after the last of two sentences"
    elif text.rstrip()[-1] in "".join(_CLOSINGS.values()):
        yield "ends with a sign that its source has not"


def _terms(text: str, locale: str) -> Iterator[str]:
    for other, term in _TERMS.get(locale, {}).items():
        if found := re.search(other, text):
            yield f"{found[0]}, where the term is: {term}"


def _chinese(text: str, locale: str) -> Iterator[str]:
    conversion, other = _CHINESE[locale]
    plain = _PLACEHOLDER.sub("", text)
    if _HALF_WIDTH.search(plain):
        yield "half-width punctuation"
    if _NO_SPACE.search(plain):
        yield "no space between Chinese and Latin"
    if other in text:
        yield f"{other} is not said here"
    strange = "".join(new for old, new in zip(text, _converter(conversion).convert(text), strict=False) if old != new)
    if strange:
        yield f"characters of the other script, for {strange}"


@cache
def _converter(conversion: str) -> OpenCC:
    return OpenCC(conversion)


def _both(texts: object) -> tuple[str, ...]:
    """The forms of a message: one, or one for each plural."""
    return tuple(texts) if isinstance(texts, (tuple, list)) else (str(texts),)
