"""The numbers of a server for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

from search.server.settings import API

REGISTRY = CollectorRegistry()

REQUESTS = Counter(
    "search_http_requests", "Requests that were answered", ["method", "route", "status"], registry=REGISTRY
)
SECONDS = Histogram(
    "search_http_request_seconds",
    "Seconds to answer a request",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
STREAMS = Gauge("search_http_event_streams", "Event streams that are open", registry=REGISTRY)
JOBS = Gauge("search_jobs", "Jobs by state", ["state"], registry=REGISTRY)
WORKERS = Gauge("search_workers", "Workers that are alive", registry=REGISTRY)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe(scope: Scope, status: int, seconds: float) -> None:
    """Count an answer. Paths that no route has share one label, so that no caller can make labels."""
    route = scope.get("route")
    path = getattr(route, "path", None) or "other"
    if scope["path"].startswith(API) and not path.startswith(API):
        path = API + path  # a route knows its path without the prefix of its router
    method = scope["method"] if scope["method"] in METHODS else "other"
    REQUESTS.labels(method, path, str(status)).inc()
    if not path.endswith("/events"):  # a stream lasts as long as its job
        SECONDS.labels(path).observe(seconds)


def metrics_text() -> bytes:
    """Return all numbers in the text format of Prometheus."""
    return generate_latest(REGISTRY)
