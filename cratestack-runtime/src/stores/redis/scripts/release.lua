-- Gives a reservation back. One that took over, or has steps, keeps its record for the same request: its lease ends.
-- ARGV: token.
local record = redis.call('HMGET', KEYS[1], 'token', 'status', 'attempt', 'steps', 'waiting')
if record[1] ~= ARGV[1] or record[2] then
  return 0
end
if tonumber(record[3]) > 1 or record[4] then
  redis.call('HSET', KEYS[1], 'lease', present())
else
  redis.call('DEL', KEYS[1])
end
if record[5] then
  wake()
end
return 1
