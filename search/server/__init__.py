"""The HTTP server of searches: its API, its roles and tokens, and the page for people.

FastAPI, Starlette, uvicorn and pydantic are loaded here alone; they are the extra `server` of this package.
"""
