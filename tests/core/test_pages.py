"""The check of page templates: a site's own may be wrong, or older than ours."""

from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import Client

from core.health import pages
from core.health.registry import State


@pytest.fixture
def brand(settings, tmp_path: Path) -> Path:
    """A site's own templates, before ours."""
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]
    (tmp_path / "brand").mkdir()
    return tmp_path


def test_our_own_templates_are_whole(brand: Path) -> None:
    """Each can be read, and the frame of all pages be made in each language."""
    assert pages.pages().state is State.OK


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("brand/foot.html", "{% url 'terms' %}", "NoReverseMatch"),
        ("brand/head.html", "{% static 'brand/brand.css' %}", "TemplateSyntaxError"),
        ("brand/terms.html", "{% include 'brand/trems.html' %}", "TemplateDoesNotExist: brand/trems.html"),
        ("base.html", "{% include 'brand/menu.html' %}", "TemplateDoesNotExist: brand/menu.html"),
        ("closed.html", "{% extends 'base.html' %}{% fi %}", "TemplateSyntaxError"),
    ],
)
def test_a_template_that_breaks_pages_has_failed(brand: Path, name: str, content: str, fault: str) -> None:
    """It is named once, though it fails in each language, before a deployment too."""
    (brand / name).write_text(content)
    found = pages.pages()
    assert found.state is State.FAILED
    name = "error.html" if name == "base.html" else name  # the page whose frame it is
    assert found.text.startswith(f"The template {name}: {fault}")
    assert found.text.count("The template") == 1
    with pytest.raises(SystemCheckError, match=rf"doorcode\.E022\) The template {name}"):
        call_command("check", "--tag", "doorcode", deploy=True)


def test_each_broken_part_is_named_and_their_frame_is_not(brand: Path) -> None:
    """The frame of all pages fails by their faults alone."""
    for name in ("foot", "head"):
        (brand / f"brand/{name}.html").write_text("{% url 'nowhere' %}")
    assert [fault.partition(":")[0] for fault in pages.faults()] == [
        "The template brand/head.html",
        "The template brand/foot.html",
    ]


def test_an_old_copy_of_the_frame_is_told(brand: Path, capsys) -> None:
    """What pages put into a block that it lacks is not shown. A page of the site's own may leave out what it likes."""
    (brand / "base.html").write_text("{% block title %}{% endblock %}{% block content %}{% endblock %}")
    (brand / "error.html").write_text("{% extends 'base.html' %}")
    found = pages.pages()
    assert found.state is State.WARNING
    assert found.text == "The template base.html lacks blocks that others fill: head, languages, width"
    call_command("check", "--tag", "doorcode", deploy=True)
    assert "doorcode.W014) The template base.html lacks" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "state"), [("", State.WARNING), ("static", State.OK)])
def test_a_brand_of_which_nothing_is_used_is_told(settings, tmp_path: Path, name: str, state: State) -> None:
    """As Docker makes an empty folder for a volume whose path is mistyped, or where its `templates` itself is named."""
    settings.BRAND_DIR = tmp_path
    (tmp_path / name).mkdir(exist_ok=True)
    found = pages.pages()
    assert (found.state, str(tmp_path) in found.text) == (state, state is State.WARNING)


@pytest.mark.parametrize("path", ["/signup/", "/login/", "/password-reset/"])
def test_enter_presses_no_language_wherever_a_frame_has_its_menu(brand: Path, client: Client, path: str) -> None:
    """Enter in a field presses the first button of its form, and the buttons of the menu belong to that form."""
    (brand / "base.html").write_text(
        "".join(f"{{% block {name} %}}{{% endblock %}}" for name in ("languages", "content"))
    )
    page = client.get(path).content.decode()
    first = page.partition('<button form="form"')[2].partition(">")[0]
    assert 'name="language"' in page
    assert 'name="language"' not in first
