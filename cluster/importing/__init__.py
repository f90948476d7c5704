"""Import of event files over HTTP: `whisperer import FILE`.

A row's path, by module: ``readers`` (file -> chunks of columns) -> ``mapper`` (``map_file``, ``conditions``, ``times``,
``money``; or ``segment_lines`` for files of Segment events) -> ``lanes`` (order and batches) -> ``sending`` (HTTP,
retries) -> ``checkpoint`` (what is acknowledged, what was rejected). ``command`` connects them.

Guarantees: every row is sent, skipped for a reason or rejected with a code, and the three add up to the file's rows;
rows of one user arrive in file order; a row sent twice carries the same messageId; a killed import resumes where it
stopped. What a valid event is, and which messageIds are duplicates, is left to the gateway.
"""
