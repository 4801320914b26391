-- What a model ($model) said to each prompt, in an order that does not depend on the model.
select kind, attack, prompt_id, prompt, reasoning, answer, extra, reference_answer, answer_refusal
from candidates
where model = $model and source = 'sft score'
order by kind, md5(prompt_id)
