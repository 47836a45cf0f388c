"""The OpenAPI document of everything that a worker serves over HTTP."""
