-- Marks a record that somebody waits for, so that its end is told.
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'waiting', '1')
end
return 1
