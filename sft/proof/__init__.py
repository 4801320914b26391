"""What a row of a mix teaches, token by token, proven before training."""
