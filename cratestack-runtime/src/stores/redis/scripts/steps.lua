-- The steps that a run finds: each step's name, then its number and value. None where the token is not the record's, or
-- the outcome is recorded.
-- ARGV: token.
local record = redis.call('HMGET', KEYS[1], 'token', 'status', 'steps')
if record[1] ~= ARGV[1] or record[2] or not record[3] then
  return {}
end
local steps = {}
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  if string.sub(fields[at], 1, 5) == 'step:' then
    steps[#steps + 1] = string.sub(fields[at], 6)
    steps[#steps + 1] = fields[at + 1]
  end
end
return steps
