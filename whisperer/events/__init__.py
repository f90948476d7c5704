"""Ingest events: everything from the bytes of an HTTP body to addressed events in a block. Pure: no I/O, no clock.

The steps, in order, each in the module of its name:

1. :func:`~whisperer.events.decompress.decompress`      gzip undone, within 500 KB
2. :func:`~whisperer.events.parse.parse_body`           the body's JSON checked, its events found, in one of two ways:
   - :func:`~whisperer.events.scan.scan`                plain bodies and events, in one pass of a kernel
   - :func:`~whisperer.events.parse.parse_exactly`      any other body, into raw events
3. :func:`~whisperer.events.write_key.presented_key`    the key, from the header or the body
4. :func:`~whisperer.events.admit.admit`                with the tenant known:
   - :func:`~whisperer.events.exact.reader.read_exactly`       every event that is not plain, or what is wrong with it:
     types (:mod:`.decode`, :mod:`.validate`), :mod:`.requirements`, :mod:`.address`, :mod:`.place`, :mod:`.clock`,
     :mod:`.money`
   - :func:`~whisperer.events.deal.deal`                keys hashed, plain events timed, all dealt to shards, one
     :class:`~whisperer.events.parts.BlockPart` each
5. :func:`~whisperer.events.answer.answer`              the client's answer

The exact way is the definition; tests hold the scanner to its outcome, to the last byte. The kernels are
:mod:`.scan`, :mod:`.scan_event`, :mod:`.syntax`, :mod:`.plain_values`, :mod:`.deal` and :mod:`.xxh3`, on :mod:`.words`;
:func:`~whisperer.events.warm.warm` prepares them.

A step that turns something away returns a value that says why (:mod:`~whisperer.events.refusals`).
"""
