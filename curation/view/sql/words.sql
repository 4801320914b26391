-- The tables of the search index; `words` keeps no text, so nothing can be read back from it but words.
pragma journal_mode = wal;
pragma synchronous = normal;
pragma cache_size = -262144;  -- KiB: the ids come in no order
create table if not exists parts (name text primary key) without rowid;
create table if not exists traces (row integer primary key, trace_id text not null unique, opening text not null);
create virtual table if not exists words using fts5(
    prompt, reasoning, answer, content = '', tokenize = 'unicode61 remove_diacritics 2'
);
