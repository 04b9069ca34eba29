"""A FastAPI app whose replicas know each other.

``uvicorn --factory examples.fastapi_app.app:create --port 8080``
"""
