-- Requests that carry the mark, each with a trace id of its own from a ring made beforehand; the totals for `run`.
local ring, at = {}, 0

function init()
  for i = 1, 8192 do
    local id = string.format("%08x", i)
    for _ = 1, 4 do id = id .. string.format("%06x", math.random(0, 0xffffff)) end
    ring[i] = wrk.format(nil, nil, {
      traceparent = "00-" .. id .. "-00f067aa0ba902b7-00",
      tracestate = "rojo=00f067aa0ba902b7,patch-group=backend-canary,patch-version=v2",
    })
  end
end

function request()
  at = at % #ring + 1
  return ring[at]
end

function done(summary)
  local errors, bad = summary.errors, 0
  for _, kind in ipairs({ "connect", "read", "write", "status", "timeout" }) do bad = bad + errors[kind] end
  io.write(string.format("totals %d %d %d\n", summary.requests, summary.bytes, bad))
end
