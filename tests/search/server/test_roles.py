"""Every route of the OpenAPI document with every role: what a role may not do is refused, and no route lacks a role."""

from itertools import product
from typing import Any

import pytest
from starlette.routing import Mount

from search.database.tokens import ROLES
from search.server.access.identity import PUBLIC, RoleRoute, requires, role_router
from search.server.app import make_app
from search.server.optuna_mount import OptunaMount
from tests.support.api_server import ApiServer


@pytest.fixture(scope="module")
def operations(served: ApiServer) -> list[tuple[str, str, dict[str, Any]]]:
    document = served.ask("GET", "/openapi.json", "viewer").json()
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def address(path: str) -> str:
    """Return a path whose parameters name nothing that exists, so that no request changes anything."""
    return path.replace("{job_id}", "999").replace("{study}", "none").replace("{classifier}", "none")


def test_every_route_has_a_role(operations: list[tuple[str, str, dict[str, Any]]]) -> None:
    assert len(operations) > 30
    assert {operation["x-role"] for _, _, operation in operations} == {PUBLIC, *ROLES}
    public = sorted(path for _, path, operation in operations if operation["x-role"] == PUBLIC)
    assert public == ["/healthz", "/readyz"]
    changing = [operation for method, _, operation in operations if method not in ("get", "head")]
    assert changing
    assert all(operation["x-role"] in ("runner", "admin") for operation in changing)


def test_a_role_may_do_what_the_document_says(
    served: ApiServer, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    for (method, path, operation), role in product(operations, (None, *ROLES)):
        needed = operation["x-role"]
        answer = served.ask(method.upper(), address(path), role)
        allowed = needed == PUBLIC or (role is not None and ROLES.index(role) >= ROLES.index(needed))
        if allowed:
            assert answer.status_code not in (401, 403, 500), (method, path, role, answer.text)
        else:
            assert answer.status_code == (401 if role is None else 403), (method, path, role, answer.text)
            assert answer.json()["status"] == answer.status_code
            assert needed in answer.json()["detail"] or role is None


def test_a_route_without_a_role_cannot_be_made() -> None:
    router = role_router()
    with pytest.raises(TypeError, match="has no role"):

        @router.get("/secret")
        def secret() -> None: ...

    @router.get("/known", dependencies=[requires("viewer")])
    def known() -> None: ...


def test_routes_outside_the_document_have_a_role_too(served: ApiServer) -> None:
    app = make_app(served.settings)
    app.state.service.close()
    included = [route.original_router for route in app.router.routes if hasattr(route, "original_router")]
    assert len(included) > 5
    assert {type(route) for router in included for route in router.routes} == {RoleRoute}
    (mounted,) = [route for route in app.router.routes if not hasattr(route, "original_router")]
    assert isinstance(mounted, Mount)
    assert isinstance(mounted.app, OptunaMount)
    for path in ("/docs", "/openapi.json", "/optuna/", "/optuna/dashboard", "/optuna/api/studies"):
        assert served.ask("GET", path).status_code == 401
        assert served.ask("GET", path, "viewer").status_code in (200, 302)


@pytest.mark.parametrize("token", ["x", "dfs_" + "x" * 43, "ö"])
def test_a_wrong_token_is_refused(served: ApiServer, token: str) -> None:
    headers = {b"Authorization": f"Bearer {token}".encode("latin-1")}
    answer = served.http.get("/api/v1/studies", headers=headers)
    assert answer.status_code in (401, 429)
