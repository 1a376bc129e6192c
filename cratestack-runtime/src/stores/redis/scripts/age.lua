-- Lets time pass for a record: all of it lies so much earlier.
-- ARGV: milliseconds.
local record = redis.call('HMGET', KEYS[1], 'created', 'lease', 'expires')
if not record[3] then
  return 0
end
local expires = record[3] - ARGV[1]
redis.call('HSET', KEYS[1], 'created', record[1] - ARGV[1], 'lease', record[2] - ARGV[1], 'expires', expires)
redis.call('PEXPIREAT', KEYS[1], math.max(expires, 1))
return 1
