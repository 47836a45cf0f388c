-- Whose feedback was taken back, and until when what they said is not kept: partitions of the log are read side by side,
-- so that what somebody said may come after the wish to forget it.

CREATE TABLE forgotten (
    person_id text PRIMARY KEY,
    until timestamptz NOT NULL
);

CREATE INDEX feedback_by_person ON feedback (person_id) WHERE person_id IS NOT NULL;
