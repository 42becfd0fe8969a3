"""All routers of the pages."""

from search.server.pages import classifiers, document, jobs, session, studies, submit

ROUTERS = tuple(module.router for module in (session, jobs, studies, submit, classifiers, document))
