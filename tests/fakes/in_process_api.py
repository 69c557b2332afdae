"""
The line of a trigger as the triggerer has it (Airflow 3.3.2), down to what answers.

Airflow's own client sends, over its own transport (httpx's WSGI, a2wsgi) into an application in the same process, and
what is raised on the way comes back as the supervisor tells it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec
from a2wsgi import ASGIMiddleware
from airflow.sdk.api.client import Client
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, GetXCom, SetXCom, XComResult, _RequestFrame
from airflow.sdk.execution_time.request_handlers import handle_get_xcom, handle_set_xcom

PREFIX = "/xcoms/"


class InProcessSupervisor:
    """
    :param xcoms: ``(dag_id, run_id, task_id, map_index, key)`` to value, as the database gets them
    """

    def __init__(self) -> None:
        self.xcoms: dict[tuple[str, str, str, int, str], Any] = {}
        self.raised: list[Exception] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = Client(
            base_url=None,
            token="",
            dry_run=True,
            transport=httpx.WSGITransport(app=ASGIMiddleware(self._serve, loop=self._loop)),  # type: ignore[arg-type]
        )
        self._client.base_url = "http://in-process.invalid./"

    def close(self) -> None:
        """End the application's thread."""
        self._client.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def send(self, message: Any) -> Any:
        body = msgspec.msgpack.decode(_RequestFrame(id=0, body=message.model_dump()).as_bytes()[4:])[1]
        try:
            if isinstance(message, SetXCom):
                return handle_set_xcom(self._client, SetXCom.model_validate(body))[0]
            assert isinstance(message, GetXCom)
            answer, _ = handle_get_xcom(self._client, GetXCom.model_validate(body))
        except Exception as error:  # noqa: BLE001  # as the supervisor does
            self.raised.append(error)
            detail = {"status_code": None, "message": str(error), "exception_type": type(error).__name__}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail)) from None
        return XComResult.model_validate(answer.model_dump()) if answer is not None else None

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        data = b""
        while (message := await receive()).get("more_body"):
            data += message["body"]
        data += message.get("body", b"")
        dag_id, run_id, task_id, key = scope["path"].removeprefix(PREFIX).split("/")
        query = dict(pair.split("=") for pair in unquote(scope["query_string"].decode()).split("&") if pair)
        name = (dag_id, run_id, task_id, int(query.get("map_index", -1)), key)
        if scope["method"] == "POST":
            self.xcoms[name] = json.loads(data)
        status = 200 if scope["method"] == "POST" or name in self.xcoms else 404
        told = {"key": key, "value": self.xcoms.get(name)} if status == 200 else {"detail": "not found"}
        content_type = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": content_type})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})
