-- The word of the last thing that was said about a recipient (model/word.py), '' where none was: what follows from it
-- is decided by the word, never by `reason`, which is for people.
ALTER TABLE work ADD COLUMN word text NOT NULL DEFAULT '';
ALTER TABLE fate ADD COLUMN word text NOT NULL DEFAULT '';
