-- wrk walks a file of prebuilt requests (tests/benchmarks/prebuilt.py): each is sent once, so every messageId is new.
-- One thread only (-t1): threads would walk the same file. The last line of output is JSON for load.py.
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } bench_time;
  int clock_gettime(int clock, bench_time *found);
]]
local found = ffi.new("bench_time")
local function now()
  ffi.C.clock_gettime(1, found) -- CLOCK_MONOTONIC
  return tonumber(found.seconds) + tonumber(found.nanoseconds) / 1e9
end

local threads = {}
function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  file = assert(io.open(arguments[1], "rb"))
  began, ended, n_taken = 0, 0, 0
end

function request()
  if began == 0 then began = now() end
  local length = file:read(8)
  if not length then
    -- The file is used up: stop here and say when, for wrk itself goes on sleeping.
    if ended == 0 then ended = now() end
    wrk.thread:stop()
    return ""
  end
  n_taken = n_taken + 1
  return file:read(tonumber(length))
end

function done(summary, latency, requests)
  local thread = threads[1]
  local seconds = summary.duration / 1e6
  if thread:get("ended") > 0 then seconds = thread:get("ended") - thread:get("began") end
  local failed = summary.errors
  io.write(string.format(
    '\n{"seconds": %.6f, "answered": %d, "refused": %d, "broken": %d, "timeouts": %d, "taken": %d, ' ..
    '"p50_ms": %.3f, "p95_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f}\n',
    seconds, summary.requests, failed.status, failed.connect + failed.read + failed.write, failed.timeout,
    thread:get("n_taken"), latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3))
end
