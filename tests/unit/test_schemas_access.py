"""Who is let in over HTTP: holders of tokens with the scope; without tokens, this machine's users and no page's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from multidict import CIMultiDict
from pydantic import SecretStr, ValidationError

from schemas.access import Access, check_site
from schemas.errors import ForbiddenError, UnauthenticatedError
from schemas.settings import Access as AccessSettings
from schemas.settings import Settings, Web
from schemas.settings_table import describe_settings
from schemas.tokens import Scope, Token

if TYPE_CHECKING:
    from collections.abc import Mapping

READER, WRITER = "reader-reader-reader", "writer-writer-writer"


class Request:
    def __init__(self, remote: str | None = "127.0.0.1", **headers: str) -> None:
        self.remote = remote
        self.headers: Mapping[str, str] = CIMultiDict(
            {"Host": "localhost:8001"} | {name.replace("_", "-"): value for name, value in headers.items()}
        )


@pytest.fixture
def tokens() -> Access:
    return Access(
        {
            "rita": Token(secret=SecretStr(READER), scopes=frozenset({Scope.FLAGS_READ})),
            "walt": Token(secret=SecretStr(WRITER), scopes=frozenset({Scope.FLAGS_WRITE})),
        }
    )


@pytest.fixture
def nobody() -> Access:
    return Access({})


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {READER}"}, {"X_API_Key": READER}])
def test_a_token_says_who_asks_wherever_they_are(tokens: Access, headers: dict[str, str]) -> None:
    request = Request("203.0.113.9", Host="flags.example", Origin="https://console.example", **headers)
    assert tokens.admit(request, Scope.FLAGS_READ).name == "rita"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {READER}"},
        {"Authorization": f"Bearer {READER}x"},
        {"Authorization": "Bearer \udcff"},
        {"X_API_Key": ""},
    ],
)
def test_without_a_token_that_is_known_nobody_is_let_in_not_even_from_here(
    tokens: Access, headers: dict[str, str]
) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        tokens.admit(Request(**headers), Scope.FLAGS_READ)
    assert refused.value.http_headers["WWW-Authenticate"].startswith('Bearer realm="intentstream"')
    assert READER not in str(refused.value)


def test_to_write_is_not_to_read_and_to_read_is_not_to_write(tokens: Access) -> None:
    assert tokens.admit(Request(Authorization=f"bearer {WRITER}"), Scope.FLAGS_WRITE).name == "walt"
    for secret, scope in ((READER, Scope.FLAGS_WRITE), (WRITER, Scope.FLAGS_READ)):
        with pytest.raises(ForbiddenError) as refused:
            tokens.admit(Request(Authorization=f"Bearer {secret}"), scope)
        assert f'error="insufficient_scope", scope="{scope}"' in refused.value.http_headers["WWW-Authenticate"]


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8001", "127.0.0.1:8001", "[::1]:8001"])
def test_without_tokens_this_machines_users_are_let_in(nobody: Access, remote: str, host: str) -> None:
    assert nobody.admit(Request(remote, Host=host, Origin=f"http://{host}"), Scope.FLAGS_WRITE).name is None


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(Request("192.168.1.7"), id="another machine"),
        pytest.param(Request("::ffff:192.168.1.7"), id="another machine, mapped"),
        pytest.param(Request(None), id="nobody knows where"),
        pytest.param(Request(Host="evil.example:8001"), id="a name rebound to here"),
        pytest.param(Request(Host="127.0.0.1.evil.example"), id="a name that begins as ours"),
        pytest.param(Request(Host="[::1"), id="no name"),
        pytest.param(Request(Host=""), id="an empty name"),
        pytest.param(Request(Origin="https://evil.example"), id="a foreign page"),
        pytest.param(Request(Origin="http://localhost:3000"), id="another server's page"),
        pytest.param(Request(Origin="null"), id="a page of no origin"),
        pytest.param(Request(Origin="http://[::1"), id="an origin that is none"),
        pytest.param(Request(X_Forwarded_For="203.0.113.9"), id="through a proxy"),
    ],
)
def test_without_tokens_everyone_else_is_refused(nobody: Access, request_: Request) -> None:
    with pytest.raises(ForbiddenError, match="No tokens are configured"):
        nobody.admit(request_, Scope.FLAGS_READ)


def test_tokens_come_from_the_settings_and_are_stars_wherever_these_are_shown() -> None:
    secret = {"secret": WRITER, "scopes": ["flags:read", "flags:write"]}
    settings = Settings(access=AccessSettings.model_validate({"tokens": {"ada": secret}}), web=Web(port=0))
    assert settings.access.tokens["ada"].scopes == {Scope.FLAGS_READ, Scope.FLAGS_WRITE}
    assert WRITER not in repr(settings)
    assert WRITER not in str(describe_settings(settings))


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ({"ada": {"secret": "short", "scopes": ["flags:read"]}}, "at least 16"),
        ({"ada": {"secret": WRITER, "scopes": []}}, "at least 1 item"),
        ({"ada": {"secret": WRITER, "scopes": ["flags:all"]}}, "Input should be 'flags:read', 'flags:write', "),
        ({"ada": {"secret": "with some spaces in it", "scopes": ["flags:read"]}}, "letters, digits"),
        ({name: {"secret": WRITER, "scopes": ["flags:read"]} for name in ("ada", "bob")}, "same secret"),
    ],
)
def test_tokens_that_cannot_be_used_are_refused(tokens: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AccessSettings.model_validate({"tokens": tokens})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec_Fetch_Site": "same-origin", "Origin": "https://behind-a-proxy.example"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "http://localhost:8001"},
        {"Origin": "https://LOCALHOST:8001"},
    ],
)
def test_what_our_own_page_and_what_programs_send_is_let_in(headers: dict[str, str]) -> None:
    check_site(Request("203.0.113.9", **headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Origin": "http://localhost:8001"},
        {"Origin": "http://localhost:8002"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[evil"},
    ],
)
def test_what_another_sites_page_has_a_browser_send_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ForbiddenError, match="another site's page"):
        check_site(Request(**headers))
