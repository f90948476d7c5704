"""Import of event files over HTTP: `whisperer import FILE`.

A row's way, by module: ``readers`` (file -> chunks of columns) -> ``mapper`` (``map_file``, ``conditions``, ``times``,
``money``; or ``segment_lines`` for files that hold Segment events already) -> ``lanes`` (order and batches) ->
``sending`` (HTTP, retries) -> ``checkpoint`` (what is acknowledged, what was rejected). ``command`` puts them together.

The importer guarantees: every row is sent, skipped under a reason or rejected under a code, and the three add up to the
rows of the file; rows of one user arrive in file order; a row sent twice carries the same messageId; a killed import
goes on where it stood. It leaves to the gateway what a valid event is and which messageIds were seen before.
"""
