"""What Airflow reads at discovery: one literal, nothing imported."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Describe the provider to Airflow."""
    return {
        "package-name": "airflow-provider-air",
        "name": "Ray (air)",
        "description": "Run Ray clusters, jobs and AI workloads from Airflow, exactly once.",
        "integrations": [
            {
                "integration-name": "Ray",
                "external-doc-url": "https://docs.ray.io/",
                "tags": ["software"],
            }
        ],
        "operators": [
            {
                "integration-name": "Ray",
                "python-modules": [
                    "airflow_provider_air.operators.batch_inference",
                    "airflow_provider_air.operators.clean_up",
                    "airflow_provider_air.operators.cluster",
                    "airflow_provider_air.operators.feast",
                    "airflow_provider_air.operators.jobs",
                    "airflow_provider_air.operators.mlflow",
                    "airflow_provider_air.operators.rllib",
                    "airflow_provider_air.operators.serve",
                    "airflow_provider_air.operators.submit",
                    "airflow_provider_air.operators.tecton",
                    "airflow_provider_air.operators.train",
                    "airflow_provider_air.operators.tune",
                    "airflow_provider_air.operators.wandb",
                ],
            }
        ],
        "hooks": [
            {
                "integration-name": "Ray",
                "python-modules": [
                    "airflow_provider_air.hooks.mlflow",
                    "airflow_provider_air.hooks.ray",
                    "airflow_provider_air.hooks.tecton",
                    "airflow_provider_air.hooks.wandb",
                ],
            }
        ],
        "triggers": [
            {
                "integration-name": "Ray",
                "python-modules": [
                    "airflow_provider_air.triggers.job_state",
                    "airflow_provider_air.triggers.mlflow",
                    "airflow_provider_air.triggers.run",
                    "airflow_provider_air.triggers.serve",
                    "airflow_provider_air.triggers.tecton",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": "Ray",
                "python-modules": [
                    "airflow_provider_air.sensors.cluster",
                    "airflow_provider_air.sensors.job",
                    "airflow_provider_air.sensors.mlflow",
                    "airflow_provider_air.sensors.serve",
                    "airflow_provider_air.sensors.tecton",
                ],
            }
        ],
        "cli": ["airflow_provider_air.cli.definition.get_air_commands"],
        "task-decorators": [{"name": "ray", "class-name": "airflow_provider_air.decorators.ray.ray_task"}],
        "extra-links": [
            "airflow_provider_air.links.mlflow.MlflowModelLink",
            "airflow_provider_air.links.mlflow.MlflowRunLink",
            "airflow_provider_air.links.ray.RayDashboardLink",
            "airflow_provider_air.links.ray.GrafanaLink",
            "airflow_provider_air.links.ray.RayJobLink",
            "airflow_provider_air.links.serve.RayServeEndpointLink",
            "airflow_provider_air.links.serve.RayServePageLink",
        ],
        "connection-types": [
            {
                "connection-type": "mlflow",
                "hook-class-name": "airflow_provider_air.hooks.mlflow.MlflowHook",
                "hook-name": "MLflow",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {"host": "Tracking server", "password": "Password, or token without login"},
                    "placeholders": {"host": "http://mlflow:5000"},
                },
                "conn-fields": {
                    "ui_url": {
                        "label": "UI address",
                        "description": "Where people reach its pages, if it is another address than the server's.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "verify_tls": {
                        "label": "Verify TLS",
                        "description": "Check the server's certificate; leave on.",
                        "schema": {"type": "boolean", "default": True},
                    },
                    "ca_path": {
                        "label": "CA bundle",
                        "description": "Path of a CA bundle on workers and triggerers.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            },
            {
                "connection-type": "ray",
                "hook-class-name": "airflow_provider_air.hooks.ray.RayHook",
                "hook-name": "Ray",
                "ui-field-behaviour": {
                    "hidden-fields": ["login"],
                    "relabeling": {
                        "host": "Dashboard address",
                        "port": "Dashboard port",
                        "schema": "http or https",
                        "password": "Token",
                    },
                    "placeholders": {"host": "http://10.0.0.5", "port": "8265", "schema": "http"},
                },
                "conn-fields": {
                    "backend": {
                        "label": "Back end",
                        "description": "What this connection stands for: a cluster that exists, or one to start.",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["existing", "kuberay", "local"],
                            "default": "existing",
                        },
                    },
                    "cluster": {
                        "label": "Cluster",
                        "description": "For a back end that starts clusters: the fields of its spec, as JSON.",
                        "schema": {"type": ["object", "null"]},
                    },
                    "verify_tls": {
                        "label": "Verify TLS",
                        "description": "Check the server's certificate; leave on.",
                        "schema": {"type": "boolean", "default": True},
                    },
                    "ca_path": {
                        "label": "CA bundle",
                        "description": "Path of a CA bundle on workers and triggerers.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "client_cert": {
                        "label": "Client certificate",
                        "description": "Path on workers and triggerers, for a dashboard that asks for a certificate.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "client_key": {
                        "label": "Client key",
                        "description": "Path of its key, where the certificate's file does not hold it.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "dashboard_url": {
                        "label": "UI address",
                        "description": "Where people reach the dashboard, if it is another address than ours.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "read_agents": {
                        "label": "Read node agents",
                        "description": "Read logs from the nodes' agents; off: from the dashboard alone.",
                        "schema": {"type": "boolean", "default": True},
                    },
                    "serve_url": {
                        "label": "Serve address",
                        "description": "Where people and tasks reach Ray Serve, if not at the dashboard's own host.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "grafana_url": {
                        "label": "Grafana address",
                        "description": "Where people watch the cluster's metrics, such as a Grafana dashboard.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "headers": {
                        "label": "Extra headers",
                        "description": "For a proxy in front of the dashboard: an object of strings.",
                        "schema": {"type": ["object", "null"]},
                    },
                },
            },
            {
                "connection-type": "tecton",
                "hook-class-name": "airflow_provider_air.hooks.tecton.TectonHook",
                "hook-name": "Tecton",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "port", "schema"],
                    "relabeling": {"password": "API key"},
                    "placeholders": {"host": "https://example.tecton.ai"},
                },
                "conn-fields": {},
            },
            {
                "connection-type": "wandb",
                "hook-class-name": "airflow_provider_air.hooks.wandb.WandbHook",
                "hook-name": "Weights & Biases",
                "ui-field-behaviour": {
                    "hidden-fields": ["login"],
                    "relabeling": {"host": "Server, if not wandb.ai", "password": "API key"},
                    "placeholders": {"host": "https://api.wandb.ai"},
                },
                "conn-fields": {
                    "entity": {
                        "label": "Entity",
                        "description": "Team or user that runs belong to; without it, no link to them is shown.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "app_url": {
                        "label": "UI address",
                        "description": "Where people reach its pages, if it is another address than the server's.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            },
        ],
        "config": {
            "air": {
                "description": "Settings of airflow-provider-air.",
                "options": {
                    "deferral_grace_seconds": {
                        "description": (
                            "How long a worker waits in place before its task defers, so that short jobs end without. "
                            "An operator's own deferral_grace_seconds comes first."
                        ),
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": "60",
                        "default": "20",
                    },
                    "deferral_settle_seconds": {
                        "description": (
                            "How long after its deferral a task comes back at the earliest. Airflow 3.3 fails tasks "
                            "that come back before its scheduler knows that their first worker has left; raise it "
                            "where the scheduler is busy."
                        ),
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": "30",
                        "default": "15",
                    },
                    "deployment": {
                        "description": (
                            "Name of this Airflow deployment, written into the metadata of its Ray jobs. Empty means "
                            "a random one, which the first task writes into the Variable air_deployment. Set it where "
                            "a deployment is a copy of another one, database and all."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "team-a-production",
                        "default": "",
                    },
                },
            }
        },
    }
