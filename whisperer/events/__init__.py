"""Ingestion: everything between the bytes of an HTTP body and addressed events in a block. Pure: no I/O, no clock.

The steps, in order, each in the module of its name:

1. :func:`~whisperer.events.decompress.decompress`      gzip undone, within 500 KB
2. :func:`~whisperer.events.parse.parse_body`           the body's JSON checked; raw events
3. :func:`~whisperer.events.write_key.presented_key`    the key, from the header or the body
4. :func:`~whisperer.events.admit.admit`                over the columns of the request:
   - :func:`~whisperer.events.decode.decode_events`     types, on a fast path, or exactly (:mod:`.validate`)
   - :func:`~whisperer.events.requirements.faults_of`   what an event of its kind must have
   - :func:`~whisperer.events.address.address`          user key and partition
   - :func:`~whisperer.events.place.places`             time zone and locale
   - :func:`~whisperer.events.clock.event_times`        when it happened, clock skew corrected
   - :func:`~whisperer.events.money.revenues`           revenue in micro-units
   - :func:`~whisperer.events.collect.collect`          into the shards' :class:`~whisperer.events.block.BlockBuilder`
5. :func:`~whisperer.events.answer.answer`              what the client is told

A step that turns something away returns a value that says why (:mod:`~whisperer.events.refusals`).
"""
