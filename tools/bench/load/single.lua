-- One sample per request, for wrk. Takes a file with a body per line, and maybe an API key.
local requests, next = {}, 0

function init(args)
  wrk.method = 'POST'
  wrk.headers['Content-Type'] = 'application/json'
  if args[2] then wrk.headers['Authorization'] = 'Bearer ' .. args[2] end
  for body in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format(nil, '/ingest', nil, body)
  end
end

function request()
  next = next % #requests + 1
  return requests[next]
end

function done(summary)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  local kinds = string.format('%d statuses, %d connects, %d reads, %d writes, %d timeouts',
    errors.status, errors.connect, errors.read, errors.write, errors.timeout)
  print(string.format('{"accepted":%d,"failed":%d,"failures":"%s","perSecond":%f}',
    summary.requests - errors.status, failed, kinds, 1e6 * summary.requests / summary.duration))
end
