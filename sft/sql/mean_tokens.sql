-- Mean tokens of the corpus's traces; where they were not counted, a quarter of their characters.
select avg(coalesce(prompt_tokens + reasoning_tokens + answer_tokens, (len(prompt) + len(reasoning) + len(answer)) / 4)) as tokens
from traces
