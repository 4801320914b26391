-- The labels of every trace, a column per annotator and pattern; {read}: labels of `unsafe` as the consensus reads them (see
-- sql/verdicts.sql).
select * {read}
from (select trace_id {label_columns} from current_annotations group by trace_id)
