-- Which split a prompt's family belongs to: decided by the family and the seed alone, so that every mix of one seed keeps the
-- same prompts for validation. Prompts are one family if `curate dedup` says so, or if case and punctuation are all that differs.
case when md5_number_lower({seed} || 'validation' || case when prompt_family = prompt_id then prompt_key else prompt_family end) % 1000000 < {share}
then 'validation' else 'train' end
