"""What an actor of Ray Data's pool runs: the author's predictor, or one of ours, built once, called per batch."""

from __future__ import annotations

import contextlib
import inspect
import tempfile
from typing import Any, AsyncIterator, Dict, Iterator, Optional

from ..data import checkpoints
from ..trackers import registered
from . import batches


def is_async(target: Any) -> bool:
    """
    Tell whether a predictor is called with ``await``, or is an asynchronous generator.

    :param target: a class, or what can be called
    """
    call = _call_of(target)
    return inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)


def takes_batches(target: Any) -> bool:
    """Tell whether instances of a class can be called; of all else, whether it can be itself."""
    return _call_of(target) is not None


def _call_of(target: Any) -> Any:
    if inspect.isclass(target):
        # Each class can be called: its instances are meant.
        return next((vars(kind)["__call__"] for kind in target.__mro__ if "__call__" in vars(kind)), None)
    if inspect.isroutine(target) or hasattr(target, "func"):  # a function, or one with some arguments already
        return target
    return getattr(target, "__call__", None)  # noqa: B004  # its own function is asked for, not whether it has one


class Predict:
    """
    What ``map_batches`` runs: loads the model, then calls it for each batch, and gives tables of Arrow.

    :param target: a class, built as ``target(model_folder, **args)`` or, without a checkpoint, as
        ``target(**args)``, whose instances are called with a batch; or a function ``target(batch, **args)``
    :param checkpoint: URI of a checkpoint, a model registry's URI, or None
    :param batch_format: what a call gets: ``pandas``, ``numpy`` or ``pyarrow``
    """

    def __init__(self, target: Any, checkpoint: Optional[str], args: Dict[str, Any], batch_format: str) -> None:
        self._format = batch_format
        self._stack = contextlib.ExitStack()  # keeps a downloaded checkpoint while the actor lives
        if inspect.isclass(target):
            first = [] if checkpoint is None else [self._folder(checkpoint)]
            self._call: Any = target(*first, **args)
        else:
            self._call = lambda batch: target(batch, **args)

    def __call__(self, block: Any) -> Any:
        """Predict one batch: a table, or a generator of them where the predictor is one."""
        table = batches.of_block(block)
        result = self.ask(table)
        if inspect.isgenerator(result):
            return self._each(result, table)
        return batches.counted(self.table(result, table), table.num_rows)

    def _each(self, results: Iterator[Any], table: Any) -> Iterator[Any]:
        rows = table.num_rows
        for result in results:
            yield batches.counted(self.table(result, table), rows)
            rows = 0
        if rows:
            yield batches.nothing(rows)

    def ask(self, table: Any) -> Any:
        """Call the predictor with a batch, and give what it gives."""
        return self._call(batches.shown(table, self._format))

    def table(self, result: Any, given: Any) -> Any:
        """Give what the predictor gives as a table."""
        return batches.table_of(result, given, self._format)

    def _folder(self, checkpoint: str) -> str:
        if checkpoint.startswith(registered.SCHEMES):
            return registered.download(checkpoint, self._stack.enter_context(tempfile.TemporaryDirectory()))
        return self._stack.enter_context(checkpoints.local_folder(checkpoint))


class PredictAsync:
    """
    The same of what is awaited, or gives several batches in its time.

    Ray Data calls it for several batches at once, and keeps their order.
    """

    def __init__(self, *arguments: Any) -> None:
        self._predict = Predict(*arguments)

    async def __call__(self, block: Any) -> AsyncIterator[Any]:
        """Predict one batch."""
        table = batches.of_block(block)
        result = self._predict.ask(table)
        rows = table.num_rows
        if not hasattr(result, "__aiter__"):
            yield batches.counted(self._predict.table(await result, table), rows)
            return
        async for one in result:
            yield batches.counted(self._predict.table(one, table), rows)
            rows = 0
        if rows:
            yield batches.nothing(rows)


def schema_of_nothing(target: Any, checkpoint: Optional[str], args: Dict[str, Any], kind: str, schema: Any) -> Any:
    """
    Ask a predictor for the columns that it gives, by a batch without rows. Runs in a task with an actor's resources.

    :param schema: of the input
    :return: Arrow's schema, the input's where the predictor gives no columns; raises whatever a predictor raises that
        takes no such batch
    """
    predict = Predict(target, checkpoint, args, kind)
    given = schema.empty_table()
    result = predict.ask(given)
    if inspect.isgenerator(result):
        result = next(result, given)
    elif is_async(target):
        result = _awaited(result, given)
    return predict.table(result, given).schema or schema


def _awaited(result: Any, given: Any) -> Any:
    import asyncio

    async def first() -> Any:
        if not hasattr(result, "__aiter__"):
            return await result
        async for one in result:
            return one
        return given

    return asyncio.run(first())
