-- Who is forgotten as somebody who spoke, not only as somebody who corrected: of whom no result is kept that is older.

ALTER TABLE forgotten ADD COLUMN results_until timestamptz;
