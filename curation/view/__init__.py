"""`curate view`: a local web page to look at traces, search them and label them."""
