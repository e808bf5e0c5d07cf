-- What must outlive the rows it was learnt from. 'seq': the highest number that a message ever had here. Numbers are not
-- given twice, for a late settlement or a damaged row may still speak of the message that had one.
CREATE TABLE mark (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
