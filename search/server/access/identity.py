"""Who calls, and what each role may do. Every route names its role through `requires`; none exists without one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute

from dashboards.access import bearer_token
from search.database.tokens import ROLES, Role
from search.server.access.queries import check_query
from search.server.problems import RESPONSES, ProblemError

PUBLIC = "public"
"""In place of a role: the route answers everybody."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    name: of the token; "local" where the server demands none. by_cookie: whether a browser sent it after a login.
    """

    name: str
    role: Role
    by_cookie: bool = False

    def may(self, role: Role) -> bool:
        """Return whether this caller may do what a role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


LOCAL = Caller("local", "admin")
"""The caller of a server on the loopback interface without tokens."""


@dataclass(frozen=True)
class RoleCheck:
    """The dependency of a route. It returns who calls, and refuses a caller without the role.

    Whoever has the role is told of a query parameter that the route does not take.
    """

    role: Role

    async def __call__(self, request: Request) -> Caller:
        caller = check_role(request, self.role)
        check_query(request)
        return caller


def check_role(request: Request, role: Role) -> Caller:
    """Return who calls. Raises ProblemError, 401 for an unknown caller and 403 for one without the role."""
    caller: Caller | None = request.state.caller
    if caller is None:
        if bearer_token(request.headers.get("authorization", "")) is None:
            detail = "this needs a token: send it as `Authorization: Bearer TOKEN`, or log in at /login"
        else:
            detail = (
                "this server does not know the token that was sent: it is misspelled, deleted, or of another server; "
                "`search token create` makes one"
            )
        raise ProblemError(401, "unauthorized", detail, {"WWW-Authenticate": 'Bearer realm="search"'})
    if not caller.may(role):
        raise ProblemError(
            403, "forbidden", f"this needs the role {role}, and the token {caller.name} has {caller.role}"
        )
    return caller


def requires(role: Role) -> Any:
    """Return the dependency of a route that a role may use.

    Use it as `dependencies=[requires("viewer")]`, or as `caller: Annotated[Caller, requires("runner")]`.
    """
    return Depends(RoleCheck(role))


async def _public() -> None:
    """Mark a route that answers everybody."""


public: Any = Depends(_public)
"""The dependency of a route that answers everybody."""


class RoleRoute(APIRoute):
    """A route with a role, which the OpenAPI document shows as `x-role`. A route without one cannot be made."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        calls = [dependency.call for dependency in self.dependant.dependencies]
        roles = [call.role for call in calls if isinstance(call, RoleCheck)]
        if not roles and _public not in calls:
            raise TypeError(f"the route {path} has no role: give it `requires(...)` or `public`")
        self.openapi_extra = {**(self.openapi_extra or {}), "x-role": roles[0] if roles else PUBLIC}
        if roles:
            self.openapi_extra["security"] = [{"token": []}, {"session": []}]


def role_router(prefix: str = "", tags: Sequence[str] = (), in_document: bool = True) -> APIRouter:
    """Return a router whose routes all have a role. in_document: whether the OpenAPI document shows them."""
    return APIRouter(
        prefix=prefix, tags=[*tags], route_class=RoleRoute, responses=RESPONSES, include_in_schema=in_document
    )
