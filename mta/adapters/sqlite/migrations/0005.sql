-- The word of the last thing that was said about a recipient (model/word.py), '' where none was: what follows from it
-- is decided by the word, never by `reason`, which is for people.
ALTER TABLE recipient ADD COLUMN word TEXT NOT NULL DEFAULT '';
UPDATE recipient SET word = 'smime-no-certificate' WHERE state = 'held' AND reason LIKE 'smime-no-certificate:%';
