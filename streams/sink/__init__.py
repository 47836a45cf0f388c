"""The queryable memory: results and feedback in Postgres, a projection of the log that may vanish and be rebuilt."""
