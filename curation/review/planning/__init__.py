"""Who reviews: accounts, teams, the plan of a round, disputes and who decides them."""
