-- Records a step of a run.
-- ARGV: token, name, value.
-- Returns 1 where it is recorded, also by an earlier call; 0 where the token is not the record's, or the outcome is recorded.
local record = redis.call('HMGET', KEYS[1], 'token', 'status')
if record[1] ~= ARGV[1] or record[2] then
  return 0
end
local field = 'step:' .. ARGV[2]
if redis.call('HEXISTS', KEYS[1], field) == 0 then
  local number = redis.call('HINCRBY', KEYS[1], 'steps', 1)
  redis.call('HSET', KEYS[1], field, number .. ' ' .. ARGV[3])
else
  -- The write that an acknowledgement waits for.
  redis.call('HSET', KEYS[1], 'token', record[1])
end
return 1
