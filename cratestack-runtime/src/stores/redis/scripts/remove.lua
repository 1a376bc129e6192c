-- Removes a record, if its state allows it.
-- ARGV: whether one may be removed that is in flight, past its lease, finished ('1' or '0').
-- Returns {whether it is removed, its state in that order}; nothing where there is none.
local record = redis.call('HMGET', KEYS[1], 'hash', 'lease', 'status', 'waiting')
if not record[1] then
  return false
end
local state = 1
if record[3] then
  state = 3
elseif tonumber(record[2]) <= present() then
  state = 2
end
if ARGV[state] ~= '1' then
  return {0, state}
end
redis.call('DEL', KEYS[1])
if record[4] then
  wake()
end
return {1, state}
