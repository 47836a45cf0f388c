"""How every HTTP route of ours says that it cannot do what was asked: RFC 9457's problem details."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

PROBLEM_JSON = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not done as asked. Its `type` is RFC 9457's default, `about:blank`."""

    title: Annotated[str, Meta(description="The status in HTTP's words.")]
    status: Annotated[int, Meta(ge=400, le=599)]
    code: Annotated[str, Meta(description="A stable word for the kind of fault, for programs.")]
    detail: Annotated[str, Meta(description="What was wrong and what to do, for a person.")]
    faults: Annotated[tuple[str, ...], Meta(description="Everything that is wrong, where several things may be.")] = ()
