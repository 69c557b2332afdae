"""What the body of a request says: read once it is known that who asks may, and refused without an echo of it."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

JSON = "application/json"
Body = TypeVar("Body", bound=BaseModel)


def body_of(kind: type[Body]) -> Any:
    """
    Give the dependency that reads a body; after those of a route that say who may ask.

    FastAPI itself reads bodies before it looks at any dependency. What is no JSON by its type is refused, too: a page
    of another site can send that without asking first.

    :param kind: what the body has to be, as JSON
    """

    async def read(request: Request) -> Body:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise RequestValidationError([{"loc": ("body",), "msg": f"The body has to be {JSON}"}])
        try:
            return kind.model_validate_json(await request.body())
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False, include_input=False)
            raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in wrong]) from None

    return Depends(read)


async def wrong_request(request: Request, error: Exception) -> Response:
    """Answer what is wrong and where, in ASCII: what was sent may be no text, or no number that JSON has."""
    assert isinstance(error, RequestValidationError)
    told = [{"loc": one["loc"], "msg": one["msg"]} for one in error.errors()]
    return Response(json.dumps({"detail": told}), 422, media_type=JSON)
