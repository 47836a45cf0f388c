"""Acts on a flag that HTTP callers ask for with a POST: who says so and why, and what the flag must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from flags.acts import acting_now
from flags.api.preconditions import expected_revisions
from flags.api.requests import Query, json_object
from flags.errors import InvalidFlagError, PreconditionFailedError
from schemas.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Mapping

    from aiohttp import web

    from flags.acts import Author
    from flags.edits import Edit
    from schemas.access import Access, Caller
    from schemas.events import FlagChange

SAYS_WHO_AND_WHY = frozenset({"reason", "changed_by"})

_NOBODY = "nobody"
"""Stands in an edit that is refused for not saying who."""


class Asked(NamedTuple):
    """What a request asks for.

    Attributes:
        name: Of the flag.
        author: Who, why and when.
        fields: What else was said, by field; only what may be.
        expected_revisions: As in `flags.edits.Edit`.
        faults: What is wrong with how it was said.
    """

    name: str
    author: Author
    fields: dict[str, Any]
    expected_revisions: Container[int] | None
    faults: tuple[str, ...]

    def edit(self, flag: FlagChange | None, act: Callable[[], Edit]) -> Edit:
        """Return the edit that an act comes to.

        Args:
            flag: As it is at the end of the log; None: there is none.
            act: Makes the edit, if the flag lets it.

        Raises:
            PreconditionFailedError: The flag is at another revision than the request is based on.
            InvalidFlagError: Everything that speaks against it so far; the edit carries what is wrong with the request.
        """
        revision = 0 if flag is None else flag.revision
        if self.expected_revisions is not None and revision not in self.expected_revisions:
            raise PreconditionFailedError(f"The flag {self.name[:64]} is at revision {revision}.", revision=revision)
        try:
            edit = act()
        except InvalidFlagError as error:
            raise InvalidFlagError(self.name, [*self.faults, *error.faults]) from error
        return msgspec.structs.replace(edit, faults=(*edit.faults, *self.faults))


async def read_asked(request: web.Request, access: Access, fields: Collection[str]) -> Asked:
    """Return what a request asks for.

    Args:
        request: A POST to something of a flag's.
        access: Who may write.
        fields: What may be said beside who and why.

    Raises:
        UnauthenticatedError: Nobody may write without saying who they are.
        ForbiddenError: They may not.
        InvalidRequestError: The query, the headers or the body are none.
    """
    caller = access.admit(request, Scope.FLAGS_WRITE)
    Query(request.query).rest()
    said, name = await json_object(request), request.match_info["flag"]
    author, faults = author_of(caller, said)
    unknown = [f"{field[:64]}: it cannot be set here" for field in said if field not in {*fields, *SAYS_WHO_AND_WHY}]
    return Asked(
        name=name,
        author=author,
        fields={field: value for field, value in said.items() if field in fields},
        expected_revisions=expected_revisions(name, request.headers),
        faults=(*faults, *unknown),
    )


def author_of(caller: Caller, said: Mapping[str, Any]) -> tuple[Author, list[str]]:
    """Return who changes a flag and why, and what is wrong with how they say it.

    Args:
        caller: Who was let in.
        said: Fields of the request, `reason` and `changed_by` among them.
    """
    faults = []
    reason, changed_by = said.get("reason"), caller.name or said.get("changed_by")
    if not isinstance(reason, str) or not reason.strip():
        faults.append("reason: say why; it stands in the history for ever")
        reason = ""
    if not isinstance(changed_by, str) or not changed_by.strip():
        faults.append("changed_by: say who does it, for no token does")
        changed_by = _NOBODY
    if caller.name is not None and said.get("changed_by", caller.name) != caller.name:
        faults.append(f"changed_by: it is {caller.name}, whose token this is")
    return acting_now(changed_by, reason), faults
