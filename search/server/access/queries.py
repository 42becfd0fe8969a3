"""Refuses what a query names that a route of the API does not take: a typing error must not ask for something else."""

from fastapi import Request

from search.server.settings import API
from spaces import UnknownNameError


def check_query(request: Request) -> None:
    """Raise UnknownNameError for a query parameter that the route of a request does not declare. Pages take any."""
    if not request.query_params or not request.url.path.startswith(f"{API}/"):
        return
    known = [parameter.alias for parameter in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            raise UnknownNameError("query parameter", name, known)
