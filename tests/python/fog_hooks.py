"""What schemathesis must know of the FOG dialect: some refusals are 500 or 501 there, and some answers have no body.

Everything else above 499 is a failure, on every route.
"""

import json
from urllib.parse import urlsplit

import schemathesis

# The node whose agent runs: work for it can be ordered, so nothing else may take it away.
NODE = 1
NEEDS_THE_NODE = {"scrub_node", "sweep_node"}

# The statuses above 499 that FOG's dialect refuses with, and whether they may be without a body.
FOG_REFUSALS = {500: False, 501: True}


def is_fog(case):
    path = case.operation.path
    return path == "/fog" or path.startswith("/fog/")


def error_of(response):
    """The text of a documented error object, or None."""
    try:
        body = json.loads(response.content)
    except ValueError:
        return None
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, str) and error else None


@schemathesis.check
def only_documented_refusals_above_499(ctx, response, case):
    if response.status_code < 500:
        return
    place = f"{case.method} {urlsplit(response.request.url).path}"
    may_be_empty = FOG_REFUSALS.get(response.status_code)
    if not is_fog(case) or may_be_empty is None:
        raise AssertionError(f"{place} was answered {response.status_code}: {response.content[:300]!r}")
    if not response.content and may_be_empty:
        return
    if error_of(response) is None:
        raise AssertionError(f"{place} was answered {response.status_code} without a reason: {response.content[:300]!r}")


def changes_a_node(operation):
    path = operation.path
    of_class = path.startswith("/fog/storagenode/{id}") and operation.method.upper() != "GET"
    return of_class or path == "/foghorn/v1/nodes/{id}/revoke"


@schemathesis.hook
def map_path_parameters(ctx, path_parameters):
    if not path_parameters or "id" not in path_parameters:
        return path_parameters
    if ctx.operation.definition.raw.get("operationId") in NEEDS_THE_NODE:
        return {**path_parameters, "id": NODE}
    if changes_a_node(ctx.operation) and str(path_parameters["id"]) == str(NODE):
        return {**path_parameters, "id": NODE + 1}
    return path_parameters
