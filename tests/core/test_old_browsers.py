"""
What the pages send can be read by the browsers inside chat apps, whose engines are years old. One sign that they don't
know ends the whole script; a selector or declaration that they don't know is dropped, and with it a menu or a margin.
"""

import re

import pytest

from tests.servers import ROOT

# By https://caniuse.com: newer than Chromium 69, Safari 12.1 and Firefox 78.
NEWER = {
    "site.js": [
        r"\?\.\D",
        r"\?\?",
        r"(\|\||&&)=",
        r"\d_\d",
        r"\.(at|flat|flatMap|replaceAll|requestSubmit)\(",
        r"\.(aria[A-Z]\w*|role) = ",  # a property of this name is no attribute to them
    ],
    "site.css": [
        r"\b(margin|padding|border)-(block|inline):",
        r"\binset(-\w+)*:",
        r":(is|has)\(",
        r"\b(rotate|scale|translate|aspect-ratio):",
        r"display: [\w-]*flex;[^}]*\bgap:",
    ],
}
NEWER["api.css"] = NEWER["site.css"]
COMFORT = {".api a:has(code)"}  # an underline a little lower


@pytest.mark.parametrize("name", NEWER)
def test_old_browsers_know_what_a_page_rests_on(name: str) -> None:
    source = (ROOT / "signup/static/doorcode" / name).read_text()
    source = re.sub(r"/\*[\s\S]*?\*/|//.*", "", source)
    for comfort in COMFORT:
        source = source.replace(comfort, "")
    found = [match.group() for pattern in NEWER[name] for match in re.finditer(pattern, source)]
    assert found == []


def test_a_computed_size_has_a_fixed_one_before_it() -> None:
    """Browsers that don't know clamp() would have no space around a card."""
    sheet = (ROOT / "signup/static/doorcode/site.css").read_text()
    computed = re.findall(r"([^;{]*); *([\w-]+): clamp\(", sheet)
    assert len(computed) == sheet.count("clamp(") == 3
    for before, name in computed:
        assert before.split(":")[0].strip() in name
