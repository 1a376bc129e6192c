-- Reserves a record for a lease, or tells who has it.
-- ARGV: hash, token, lease, retention (both in milliseconds), whether to write in any case ('1').
-- Returns which attempt it is where it is reserved, 0 in flight, -1 another request's, or its outcome: created, expires,
-- status, headers, body.
local record = redis.call('HMGET', KEYS[1], 'created', 'expires', 'status', 'headers', 'body', 'hash', 'token',
  'attempt', 'lease')
local created, expires, is_finished = record[1], record[2], record[3]
local hash, token, attempt, lease = record[6], record[7], record[8], record[9]
local attempts = 1
if hash or token or attempt or lease or expires or created or is_finished then
  -- What cannot be read must neither run nor be answered.
  local numbers = (attempt or '') .. ' ' .. (lease or '') .. ' ' .. (expires or '') .. ' ' .. (created or '')
  if not string.find(numbers, '^%-?%d+ %-?%d+ %-?%d+ %-?%d+$') then
    for field, number in pairs({attempt = attempt, lease = lease, expires = expires, created = created}) do
      if not string.find(number or '', '^%-?%d+$') then
        return redis.error_reply('DAMAGED its field `' .. field .. '` is no number')
      end
    end
  end
  if #(hash or '') ~= 32 or not token then
    return redis.error_reply('DAMAGED its field `hash` or `token` is not as it was written')
  end
  if tonumber(expires) <= now then
    -- Expired in this very millisecond: it takes its steps along.
    redis.call('DEL', KEYS[1])
  else
    if hash ~= ARGV[1] then
      return -1
    end
    -- The same call again, whose answer was lost with its connection.
    local is_ours = not is_finished and token == ARGV[2]
    if (is_finished or is_ours) and ARGV[5] == '1' then
      redis.call('HSET', KEYS[1], 'hash', hash)
    end
    if is_finished then
      -- An answer ends where there is nothing.
      record[6] = nil
      return record
    end
    if is_ours then
      return math.max(attempt, 1)
    end
    if tonumber(lease) > now then
      return 0
    end
    attempts = math.max(attempt, 0) + 1
  end
end
-- As texts, which cost the server less than the numbers.
local format = string.format
local ends = now + ARGV[4]
local expiry = format('%d', ends)
redis.call('HSET', KEYS[1], 'hash', ARGV[1], 'token', ARGV[2], 'attempt', format('%d', attempts), 'created',
  format('%d', now), 'lease', format('%d', math.min(now + ARGV[3], ends)), 'expires', expiry)
redis.call('PEXPIREAT', KEYS[1], expiry)
return attempts
