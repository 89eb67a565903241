-- The order in which the rows of one run came to be as they are: whoever follows a run asks for those behind the
-- last that it knows. Set again by every write. No index: it is asked for together with the run, where the primary
-- key begins. Rows from before are all 0, so that no table is written anew.
CREATE SEQUENCE span_changes;
ALTER TABLE spans ADD COLUMN seq bigint NOT NULL DEFAULT 0;
ALTER TABLE spans ALTER COLUMN seq SET DEFAULT nextval('span_changes');
