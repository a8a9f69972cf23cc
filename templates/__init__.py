"""Jinja templates, shipped as package data: what a service looks like on a host (`host/`)."""
