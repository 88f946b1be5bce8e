-- The newest memory is the one that was stored last, which its id tells. Of the category "conversation" there is one with every message: it is only listed, by
-- walking the table, and an index would be written with every accept.
DROP INDEX memory_newest;
DROP INDEX memory_category;
CREATE INDEX memory_kept ON memory (category) WHERE category <> 'conversation';
