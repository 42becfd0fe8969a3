"""The OpenAPI document of this server, and the page that shows it."""

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse

from search.server.access.identity import requires, role_router
from search.server.pages.rendering import page

router = role_router(in_document=False)


@router.get("/openapi.json", dependencies=[requires("viewer")])
def openapi(request: Request) -> JSONResponse:
    """Return the OpenAPI document. Each operation has its role as `x-role`."""
    return JSONResponse(request.app.openapi())


@router.get("/docs", dependencies=[requires("viewer")])
def docs(request: Request) -> HTMLResponse:
    """Show the document as a page that loads nothing from elsewhere."""
    document = request.app.openapi()
    return page(request, "document.html", "docs", document=document, groups=_groups(document), type_of=type_of)


def _groups(document: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Return (method, path, operation) of all operations by their tag."""
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    return groups


def type_of(schema: dict[str, Any]) -> str:
    """Return the type that a schema describes, in a few words: `list of integer, from 1 to 4096, or null`."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema or "oneOf" in schema:
        return " or ".join(type_of(part) for part in schema.get("anyOf", schema.get("oneOf", ())))
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    words = str(schema.get("type", "anything"))
    if words == "array":
        words = f"list of {type_of(schema.get('items', {}))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        words += f" from {low:,g} to {high:,g}"
    return words
