"""Grafana's dashboards as code: the JSON beside this is generated, so that every query can be held against the code."""
