-- Starts the lease of a reservation anew.
-- ARGV: token, lease, retention (both in milliseconds).
-- Returns for how many milliseconds it lasts; -1 where the token is not the record's, or the outcome is recorded.
local record = redis.call('HMGET', KEYS[1], 'token', 'status', 'expires')
if record[1] ~= ARGV[1] or record[2] then
  return -1
end
local now = present()
local expires = math.max(tonumber(record[3]), now + ARGV[3])
local lease = math.min(now + ARGV[2], expires)
redis.call('HSET', KEYS[1], 'lease', lease, 'expires', expires)
redis.call('PEXPIREAT', KEYS[1], expires)
return lease - now
