"""What a mix did to a model: ask, judge, count."""
