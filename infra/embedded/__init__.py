"""Real Kafka, Redis and Postgres for whoever has none of their own: started, watched and stopped as our children."""
