-- Reserves a record for a lease, or tells who has it.
-- ARGV: hash, token, lease, retention (both in milliseconds), whether to write in any case ('1').
-- Returns {0, attempt} where it is reserved, {1} in flight, {2} another request's, {3, …} its outcome.
local now = present()
local record = redis.call('HMGET', KEYS[1], 'hash', 'token', 'attempt', 'lease', 'expires', 'created', 'status')
local attempt = 1
if record[1] and tonumber(record[5]) <= now then
  -- Expired in this very millisecond: it takes its steps along.
  redis.call('DEL', KEYS[1])
elseif record[1] then
  if record[1] ~= ARGV[1] then
    return {2}
  end
  local is_finished = record[7]
  -- The same call again, whose answer was lost with its connection.
  local is_ours = not is_finished and record[2] == ARGV[2]
  if (is_finished or is_ours) and ARGV[5] == '1' then
    redis.call('HSET', KEYS[1], 'hash', record[1])
  end
  if is_finished then
    local outcome = redis.call('HMGET', KEYS[1], 'headers', 'body')
    return {3, record[6], record[5], record[7], outcome[1], outcome[2]}
  end
  if is_ours then
    return {0, tonumber(record[3])}
  end
  if tonumber(record[4]) > now then
    return {1}
  end
  attempt = tonumber(record[3]) + 1
end
local expires = now + ARGV[4]
local lease = math.min(now + ARGV[3], expires)
redis.call('HSET', KEYS[1], 'hash', ARGV[1], 'token', ARGV[2], 'attempt', attempt, 'created', now, 'lease', lease,
  'expires', expires)
redis.call('PEXPIREAT', KEYS[1], expires)
return {0, attempt}
