"""Define what a shard shows of its state: counts, decisions and users, as Structs that others read by attribute."""
