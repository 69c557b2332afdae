"""The upload of offline W&B runs as a job: what is there, what the server has of it, and the rest on its way."""
