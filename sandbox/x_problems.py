"""The ways in which X says no: problems of API v2 (RFC 9457) and numbered errors of v1.1."""

from aiohttp import web

from sandbox.wire import refused

_PROBLEMS = "https://api.twitter.com/2/problems"
NOT_ENROLLED = {
    "client_id": "18674063",
    "detail": "When authenticating requests to the Twitter API v2 endpoints, you must use keys and tokens from a "
    "Twitter developer App that is attached to a Project. You can create a project via the developer portal.",
    "registration_url": "https://developer.twitter.com/en/docs/projects/overview",
    "title": "Client Forbidden",
    "required_enrollment": "Appropriate Level of API Access",
    "reason": "client-not-enrolled",
    "type": f"{_PROBLEMS}/client-forbidden",
}
"""What an application without a plan that may read is told."""


def problem(status: int, detail: str, headers: dict[str, str]) -> web.HTTPException:
    """A problem without a type of its own."""
    titles = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}
    title = titles.get(status, "Service Unavailable")
    return refused(status, {"title": title, "detail": detail, "type": "about:blank", "status": status}, headers)


def numbered(status: int, code: int, message: str) -> web.HTTPException:
    """An error of v1.1."""
    return refused(status, {"errors": [{"code": code, "message": message}]})


def invalid(parameter: str, value: str, message: str) -> web.HTTPException:
    """A parameter found wrong."""
    body = {
        "errors": [{"parameters": {parameter: [value]}, "message": message}],
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": f"{_PROBLEMS}/invalid-request",
    }
    return refused(400, body)


def missing(identity: str) -> web.HTTPException:
    """Something that is not there (any more)."""
    found = {
        "value": identity,
        "detail": f"Could not find tweet with id: [{identity}].",
        "title": "Not Found Error",
        "resource_type": "tweet",
        "parameter": "id",
        "resource_id": identity,
        "type": f"{_PROBLEMS}/resource-not-found",
    }
    return refused(404, {"errors": [found], "title": "Not Found Error", "type": f"{_PROBLEMS}/resource-not-found"})
