"""What reviewers are asked: the entries of a codebook as questions, guidelines and settings of a dataset."""
