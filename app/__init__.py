"""What the outside sees: the service and its client. The only home of FastAPI."""
