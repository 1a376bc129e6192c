-- What an operator sees of a record; nothing where there is none.
local record = redis.call('HMGET', KEYS[1], 'hash', 'attempt', 'created', 'lease', 'expires', 'status', 'steps')
if not record[1] then
  return false
end
local steps = 0
if record[7] then
  local fields = redis.call('HGETALL', KEYS[1])
  for at = 1, #fields, 2 do
    if string.sub(fields[at], 1, 5) == 'step:' then
      local value = fields[at + 1]
      steps = steps + #fields[at] - 5 + #value - string.find(value, ' ', 1, true)
    end
  end
end
return {present(), record[1], record[2], record[3], record[4], record[5], record[6],
  redis.call('HSTRLEN', KEYS[1], 'headers'), redis.call('HSTRLEN', KEYS[1], 'body'), steps}
