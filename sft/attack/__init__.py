"""`sft attack`: PAIR against a live model, with any model as attacker, under a budget."""
