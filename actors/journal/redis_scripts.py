"""Change a journal in Redis atomically: four scripts, each checking the epoch in the same step in which it writes.

Keys are the stream of records, the hash `state` (epoch, end) and the list of marks, "position epoch" of each segment's
beginning, oldest first. Positions are made by the client and compared as text: Lua's numbers lose digits above 2^53.
Every script writes something even when there is nothing to do, because ``WAIT`` waits for the last write of its
connection: on one that replaced a broken one it would otherwise wait for nothing.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Script(NamedTuple):
    text: str
    sha: str


def _script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


_CHECK = """
local state = redis.call('HMGET', KEYS[2], 'epoch', 'end')
if not state[1] then return {'gone', ''} end
if state[1] ~= ARGV[1] then return {'fenced', state[1]} end
"""

# ARGV: a token of this opener, so that it takes one epoch even if its first call was not answered
OPEN = _script("""
local state = redis.call('HMGET', KEYS[2], 'epoch', 'end', 'token')
local epoch = state[1] or '0'
local stop = state[2] or '0'
if not state[1] and redis.call('EXISTS', KEYS[1]) == 1 then return {'headless', ''} end
if state[3] ~= ARGV[1] then
  epoch = tostring(redis.call('HINCRBY', KEYS[2], 'epoch', 1))
  local last = redis.call('LINDEX', KEYS[3], -1)
  if last and string.match(last, '^%d+') == stop then redis.call('RPOP', KEYS[3]) end
  redis.call('RPUSH', KEYS[3], stop .. ' ' .. epoch)
end
redis.call('HSET', KEYS[2], 'end', stop, 'token', ARGV[1])
return {'done', epoch, stop, redis.call('LRANGE', KEYS[3], 0, -1)}
""")

# ARGV: epoch, end before, end after, then id, checksum and payload of each record
APPEND = _script(
    _CHECK
    + """
if state[2] ~= ARGV[2] and state[2] ~= ARGV[3] then return {'elsewhere', state[2]} end
if state[2] == ARGV[2] then
  for i = 4, #ARGV, 3 do redis.call('XADD', KEYS[1], ARGV[i], 'c', ARGV[i + 1], 'r', ARGV[i + 2]) end
end
redis.call('HSET', KEYS[2], 'end', ARGV[3])
return {'done', ''}
"""
)

# ARGV: epoch, position
ROLL = _script(
    _CHECK
    + """
if state[2] ~= ARGV[2] then return {'elsewhere', state[2]} end
local last = redis.call('LINDEX', KEYS[3], -1)
if string.match(last, '^%d+') ~= ARGV[2] then redis.call('RPUSH', KEYS[3], ARGV[2] .. ' ' .. ARGV[1]) end
redis.call('HSET', KEYS[2], 'end', ARGV[2])
return {'done', ''}
"""
)

# ARGV: epoch, the mark (all its text) that becomes the oldest, its position
TRIM = _script(
    _CHECK
    + """
local at = redis.call('LPOS', KEYS[3], ARGV[2])
if not at then return {'elsewhere', state[2]} end
redis.call('LTRIM', KEYS[3], at, -1)
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[3])
redis.call('HSET', KEYS[2], 'end', state[2])
return {'done', ''}
"""
)
