-- Removes a record, if its state allows it. One that is damaged is removed by the same rule.
-- ARGV: the token of the record that is meant ('?' to be told it), then whether one may be removed that is in flight,
-- past its lease, finished ('1' or '0').
-- Returns {2, state, token} where it is another record, else {whether it is removed, its state in that order}; nothing
-- where there is none.
local record = redis.call('HMGET', KEYS[1], 'hash', 'lease', 'status', 'waiting', 'token')
if not record[1] and redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
local state = 1
if record[3] then
  state = 3
elseif (tonumber(record[2]) or 0) <= now then
  state = 2
end
-- This call may come late, when another record has the name.
if (record[5] or '') ~= ARGV[1] then
  return {2, state, record[5] or ''}
end
if ARGV[1 + state] ~= '1' then
  return {0, state}
end
redis.call('DEL', KEYS[1])
if record[4] then
  wake()
end
return {1, state}
