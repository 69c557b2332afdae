"""Airflow's api-server in this process, over a real database, with what tasks have stored written by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow_stack import AirflowStack

from airflow_provider_air.runs.ledger import keep

USERS = ("viewer", "user", "op", "admin")
SETTINGS = {
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{name}" for name in USERS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # As somebody may set it who names runs in their own language.
    "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN": "(?s).*",
    "AIRFLOW__API__SECRET_KEY": "pages" * 8,
    "AIRFLOW__API_AUTH__JWT_SECRET": "pages" * 16,
}
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


# Headers by which a browser says that another site asks.
OF_OTHER_SITES = (
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "http://testserver", "sec-fetch-site": "cross-site"},
)


class AirflowSite:
    """
    The whole application, as ``airflow api-server`` serves it, and its database.

    One of a process: Airflow's home is the process's own, see ``tests/conftest.py``. Its database is SQLite, or the
    empty one that :data:`DATABASE` names.

    :param template_db: where a migrated database is kept between runs
    """

    def __init__(self, template_db: Path) -> None:
        if DATABASE in os.environ:
            subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, stdout=subprocess.DEVNULL)
        else:
            self._copy(template_db, Path(os.environ["AIRFLOW_HOME"]))
        self._environment = patch.dict(os.environ, SETTINGS)
        self._environment.start()

    def _copy(self, template_db: Path, home: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="air-") as folder:
            stack = AirflowStack(home, template_db=template_db, home=Path(folder))
            stack.migrate()
            shutil.copyfile(stack.home / "airflow.db", home / "airflow.db")

    def close(self) -> None:
        """Leave the process's settings as they were."""
        self._environment.stop()

    @cached_property
    def app(self) -> Any:
        """The FastAPI application, with all that plugins mount."""
        from airflow.api_fastapi.app import create_app, purge_cached_app

        purge_cached_app()
        return create_app(apps="core")

    def client(self, user: str | None = None, **options: Any) -> Client:
        """Give a browser: of a user by the name of the role, or of nobody."""
        headers = {} if user is None else {"cookie": f"_token={self._token(user)}"}
        return Client(self.app, headers | options.pop("headers", {}))

    def _token(self, user: str) -> str:
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        assert self.app is not None
        return str(get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=user, role=user.upper(), teams=None)))

    def add_task(self, dag_id: str = "d", run_id: str = "r", task_id: str = "t", **fields: Any) -> StoredTask:
        """Write a task instance, and its DAG and run where they are not there."""
        return StoredTask(dag_id, run_id, task_id, fields.pop("map_index", -1)).write(**fields)


class Client:
    """Calls the application in this process, each call on an event loop of its own."""

    def __init__(self, app: Any, headers: Mapping[str, str]) -> None:
        from starlette.testclient import TestClient

        self._client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
        self._client.headers.update(headers)

    @property
    def headers(self) -> Any:
        """What it sends along each time."""
        return self._client.headers

    def get(self, path: str, **options: Any) -> Any:
        """Send a GET."""
        return self._client.get(path, **options)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send any request."""
        return self._client.request(method, path, **options)


class StoredTask:
    """A task instance's rows in Airflow's database; also its state store, for those who write to one."""

    def __init__(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> None:
        self.names: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}

    def write(self, **fields: Any) -> StoredTask:
        """Write the task instance."""
        from airflow.models.dag import DagModel
        from airflow.models.dagbundle import DagBundleModel
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from airflow.utils.types import DagRunType
        from sqlalchemy import insert, select

        dag_id, run_id = self.names["dag_id"], self.names["run_id"]
        with create_session() as session:
            if session.get(DagBundleModel, "site") is None:
                session.add(DagBundleModel(name="site"))
                session.flush()
            if session.get(DagModel, dag_id) is None:
                session.add(DagModel(dag_id=dag_id, bundle_name="site", fileloc="/dags/site.py"))
                session.flush()
            chosen = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
            if session.scalar(chosen) is None:
                at = fields.pop("run_at", NOW)
                run = DagRun(dag_id=dag_id, run_id=run_id, run_type=DagRunType.MANUAL, run_after=at, start_date=at)
                session.add(run)
                session.flush()
            values = {
                "operator": "RayTrainOperator",
                "state": "running",
                "try_number": 1,
                "max_tries": 0,
                "start_date": NOW,
                "pool": "default_pool",
                "pool_slots": 1,
                "span_status": "not_started",
                **fields,
            }
            session.execute(insert(TaskInstance).values(**self.names, **values))
        return self

    def change(self, **fields: Any) -> None:
        """Change columns of the task instance."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import update

        where = [getattr(TaskInstance, name) == value for name, value in self.names.items()]
        with create_session() as session:
            session.execute(update(TaskInstance).where(*where).values(**fields))

    def get(self, key: str) -> Any:
        """Give a value of the state store."""
        from airflow.state.metastore import MetastoreBackend

        value = MetastoreBackend().get(self._scope(), key)
        return None if value is None else json.loads(value)

    def set(self, key: str, value: Any) -> None:
        """Write a value into the state store, as the Execution API does."""
        from airflow.state.metastore import MetastoreBackend

        MetastoreBackend().set(self._scope(), key, json.dumps(value))

    def delete(self, key: str) -> None:
        """Remove a value of the state store."""
        from airflow.state.metastore import MetastoreBackend

        MetastoreBackend().delete(self._scope(), key)

    def keep(self, key: str, value: Any) -> None:
        """Write a value into the state store in chunks."""
        keep(self, key, value)

    def push(self, key: str, value: Any) -> None:
        """Write an XCom, as the Execution API does."""
        from airflow.models.xcom import XComModel

        XComModel.set(key=key, value=value, serialize=False, **self.names)

    def pushed(self, key: str) -> Any:
        """Give an XCom's value; None where there is none."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            return session.scalar(select(XComModel.value).filter_by(key=key, **self.names))

    def _scope(self) -> Any:
        from airflow._shared.state import TaskScope

        return TaskScope(**self.names)
