-- What mixes need to know of the texts of prompts: the key by which evaluation prompts are known.
select prompt_id, {key} as prompt_key
from unread_prompts
