-- Results and feedback, a partition a day, and how far each partition of their topics has been read.

CREATE TABLE results (
    id text NOT NULL,
    day date NOT NULL,
    answered_at timestamptz NOT NULL,
    log_partition integer NOT NULL,
    log_offset bigint NOT NULL,
    utterance_id text NOT NULL,
    user_id text,
    conversation_id text,
    intent text,
    confidence double precision NOT NULL,
    tier text NOT NULL,
    strategy text NOT NULL,
    release text NOT NULL,
    degraded boolean NOT NULL,
    event json NOT NULL,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);

CREATE INDEX results_by_time ON results (answered_at);
CREATE INDEX results_by_user ON results (user_id, answered_at) WHERE user_id IS NOT NULL;
CREATE INDEX results_by_intent ON results (intent, answered_at);

CREATE TABLE feedback (
    id text NOT NULL,
    day date NOT NULL,
    said_at timestamptz NOT NULL,
    log_partition integer NOT NULL,
    log_offset bigint NOT NULL,
    kind text NOT NULL,
    utterance_id text NOT NULL,
    result_id text,
    person_id text,
    intent text,
    lesson text,
    text text,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);

CREATE INDEX feedback_by_utterance ON feedback (utterance_id);

CREATE TABLE positions (
    cluster text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (cluster, topic, partition)
);
