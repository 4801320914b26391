-- The labels of every trace, a column per annotator and pattern.
select trace_id {label_columns} from current_annotations group by trace_id
