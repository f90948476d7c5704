"""Call the actors: what a caller needs of shards, their map, the directory and the learner, through Ray or sockets."""
