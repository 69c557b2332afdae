"""A task that reports for some seconds what a person wants to see, and what nobody's terminal or browser may obey."""

from __future__ import annotations

from airflow.sdk import dag, task


@dag(schedule=None)
def reporting() -> None:
    """Train something, as far as anybody can tell."""

    @task.ray
    def train() -> dict[str, str]:
        import time

        from air_drivers import report

        for step in range(40):
            report.metric({"rmse": 3.0 / (step + 1), "<b>lr</b>": 0.1}, step=step)
            report.progress("\x1b[31mepoch</script>\u202e", done=step + 1, total=40)
            time.sleep(0.75)
        return {"best": "</script><script>alert(1)</script>"}

    train()


reporting()
