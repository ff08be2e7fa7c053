"""The panes of the course and what they are made of: each shows a piece of state, and says what a person did."""
