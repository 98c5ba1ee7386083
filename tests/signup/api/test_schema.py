"""The schema, its committed copy, and the codes in the docs: all come from one list."""

import re
from collections.abc import Iterator

import jsonschema
import pytest
import yaml
from django.core.management import call_command
from django.urls import get_resolver

from signup.api.problems import BY_STATUS, FIELD_ERRORS, PROBLEMS, ErrorCode
from signup.api.schema import document
from signup.services import AlreadyRegistered, UsernameTaken
from tests.servers import ROOT
from tests.signup.api.conftest import Api
from verification.states import SignUpError
from worker.classification import Cause
from worker.models import Delivery

OPERATIONS = [
    (path, method, operation)
    for path, methods in document("en")["paths"].items()
    for method, operation in methods.items()
]


def bodies(operation: dict) -> Iterator[tuple[str, dict, dict]]:
    """(where, schema, examples) of a request and its answers."""
    places = {"request": operation.get("requestBody", {}), **operation["responses"]}
    for where, place in places.items():
        for content in place.get("content", {}).values():
            yield where, content["schema"], content["examples"]


def kinds(error: type) -> Iterator[type]:
    for kind in error.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_the_committed_schema_is_fresh() -> None:
    """`make schema` brings it up to date."""
    committed = yaml.safe_load((ROOT / "docs" / "reference" / "openapi.yaml").read_text())
    assert committed == yaml.safe_load(yaml.safe_dump(yaml.safe_load(yaml.dump(plain(document("en"))))))


def plain(value: object) -> object:
    """The same in types that YAML has."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value if value is None or isinstance(value, (bool, int)) else str(value)


def test_the_generator_has_no_warnings(capsys: pytest.CaptureFixture) -> None:
    """And the schema is valid OpenAPI."""
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")
    assert capsys.readouterr().err == ""


def test_links_fill_no_bodies() -> None:
    """openapi-generator refuses a schema whose links have a body that is an object."""
    answers = [answer for _path, _method, operation in OPERATIONS for answer in operation["responses"].values()]
    links = [link for answer in answers for link in answer.get("links", {}).values()]
    assert links
    assert all("requestBody" not in link for link in links)


def test_the_schema_is_openapi_3_1_in_the_callers_language(api: Api) -> None:
    """Descriptions are translated; names are not."""
    english = api.get("/api/schema/")
    chinese = api.get("/api/schema/", **{"accept-language": "zh-CN"})
    assert english.json()["openapi"] == "3.1.0"
    assert set(english.json()["paths"]) == set(chinese.json()["paths"])
    assert chinese.json()["paths"]["/api/login/"]["post"]["summary"] == "登录"
    assert "Accept-Language" in chinese["Vary"]
    german = api.get("/api/schema/", **{"accept-language": "de"})  # which operators' texts are not translated into
    assert (german["Content-Language"], german.json()) == ("en", english.json())


def test_the_schema_has_every_call_of_the_contract() -> None:
    """And no other."""
    assert {(method, path) for path, method, _ in OPERATIONS} == {
        ("post", "/api/captchas/"),
        ("post", "/api/captchas/{id}/resend/"),
        ("get", "/api/captchas/{id}/"),
        ("post", "/api/users/"),
        ("post", "/api/login/"),
        ("post", "/api/logout/"),
        ("post", "/api/password-reset/"),
        ("get", "/api/users/me/"),
        ("patch", "/api/users/me/"),
        ("delete", "/api/users/me/"),
        ("post", "/api/users/me/password/"),
    }
    assert [operation["operationId"] for _, _, operation in OPERATIONS] == [
        "ask_code",
        "code_status",
        "resend_code",
        "register",
        "sign_in",
        "sign_out",
        "request_password_reset",
        "me",
        "change_language",
        "delete_account",
        "change_password",
    ]
    assert get_resolver().resolve("/api/docs/").url_name == "api_docs"


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=lambda part: str(part)[:30])
def test_each_call_that_takes_a_body_says_so(path: str, method: str, operation: dict) -> None:
    """DELETE too, and every field has to be there, and not empty."""
    takes_one = (
        "malformed" in operation["responses"].get("400", {"description": ""})["description"]
    ) and method != "get"
    assert ("requestBody" in operation) is takes_one
    if takes_one:
        component = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        schema = document("en")["components"]["schemas"][component]
        assert set(schema["required"]) == set(schema["properties"])
        for field in schema["properties"].values():
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate("", field)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=lambda part: str(part)[:30])
def test_each_call_knows_the_refusals_of_any_body(api: Api, path: str, method: str, operation: dict) -> None:
    """A GET too: what is too large, or in another charset, is refused before a call is found."""
    for body, kind in ((b"x" * 70_000, "application/json"), (b"x", "application/json; charset=gbk")):
        answer = api.client.generic(method.upper(), path, body, kind)
        assert answer.json()["code"] in operation["responses"][str(answer.status_code)]["description"]


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=lambda part: str(part)[:30])
def test_each_body_has_an_example_in_both_languages_that_fits_its_schema(
    path: str, method: str, operation: dict
) -> None:
    """English and Chinese, of each request, each success and each code."""
    components = {"components": document("en")["components"]}
    for where, schema, named in bodies(operation):
        assert {name.rpartition(".")[2] for name in named} == {"en", "zh-hans"}, where
        for example in named.values():
            jsonschema.validate(example["value"], schema | components)
            if where.startswith(("4", "5")):
                code = example["summary"].split()[0]
                assert example["value"]["code"] == code
                assert code in operation["responses"][where]["description"].split(", ")
                assert str(example["value"]["status"]) == where


def test_problems_of_the_examples_are_translated() -> None:
    """No English is left in the Chinese ones."""
    for path, _, operation in OPERATIONS:
        for where, _, named in bodies(operation):
            for name, example in named.items():
                if where.startswith(("4", "5")) and name.endswith("zh-hans"):
                    assert re.search("[\u4e00-\u9fff]", example["value"]["title"]), (path, name)
                    assert re.search("[\u4e00-\u9fff]", example["value"]["detail"]), (path, name)


def test_every_code_is_of_a_problem_or_a_field() -> None:
    """Each refusal of a service has its code, and each status its general code."""
    assert set(PROBLEMS) | set(FIELD_ERRORS) == set(ErrorCode)
    assert {error.code for error in (*kinds(SignUpError), AlreadyRegistered, UsernameTaken)} <= set(ErrorCode)
    assert {status: str(code) for status, code in BY_STATUS.items()} == {
        400: "bad_request",
        401: "not_authenticated",
        403: "forbidden",
        404: "not_found",
        405: "method_not_allowed",
        413: "too_large",
        415: "unsupported_media_type",
        429: "rate_limited",
        500: "server_error",
        503: "unavailable",
    }


def test_the_reference_lists_every_code_with_its_status() -> None:
    """docs/reference/api.md, neither more nor fewer."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    problems, fields = page.split("## Codes of fields")
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d, ]+) \|", problems, re.MULTILINE))
    statuses = {str(code): {code.status} for code in PROBLEMS}
    for _, _, operation in OPERATIONS:
        for where, _, named in bodies(operation):
            if where.startswith(("4", "5")):
                for example in named.values():
                    statuses[example["value"]["code"]].add(int(where))
    assert told == {code: ", ".join(map(str, sorted(found))) for code, found in statuses.items()}
    assert re.findall(r"^\| `(\w+)` \|", fields, re.MULTILINE) == [str(code) for code in FIELD_ERRORS]


def test_the_schema_knows_every_state_of_a_mail() -> None:
    """Those that the page shows."""
    states = document("en")["components"]["schemas"]["DeliveryState"]["properties"]["state"]["enum"]
    for state in Delivery.State:
        assert Delivery(state=state, attempts=9).visible_state in states
    assert states == ["queued", "sending", "sent", "delayed", "failed", "bounced", "proven", "finished"]


def test_the_schema_knows_every_reason_of_a_refusal() -> None:
    """Those that the page shows."""
    reasons = document("en")["components"]["schemas"]["DeliveryState"]["properties"]["reason"]["enum"]
    assert {Delivery(state="failed", cause=cause).visible_reason for cause in Cause} == set(reasons)
