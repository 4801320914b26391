-- The verdicts of every trace, a column per pattern: for corpora of so many annotators that a column for each is too much.
select trace_id {verdict_columns} from verdicts group by trace_id
