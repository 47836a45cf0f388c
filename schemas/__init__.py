"""The contracts: typed events, CloudEvents on Kafka, settings and errors. Imports no other room."""
