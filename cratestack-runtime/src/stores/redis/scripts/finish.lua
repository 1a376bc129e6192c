-- Records the outcome of a reservation.
-- ARGV: token, status, headers, body, whether to write in any case ('1').
-- Returns 1 where it is recorded, also by an earlier call; 0 where the token is not the record's.
local record = redis.call('HMGET', KEYS[1], 'token', 'status', 'steps', 'waiting')
if record[1] ~= ARGV[1] then
  return 0
end
if record[2] then
  if ARGV[5] == '1' then
    redis.call('HSET', KEYS[1], 'token', record[1])
  end
  return 1
end
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'headers', ARGV[3], 'body', ARGV[4])
if record[3] then
  redis.call('HDEL', KEYS[1], 'steps')
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 5) == 'step:' then
      redis.call('HDEL', KEYS[1], field)
    end
  end
end
if record[4] then
  wake()
end
return 1
