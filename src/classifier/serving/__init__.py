"""The HTTP service: routes, uploads, response schemas and the page."""
