-- Tells those who wait for this record. Where the user may not publish, they poll.
local function wake()
  redis.call('HDEL', KEYS[1], 'waiting')
  redis.pcall('PUBLISH', KEYS[1], '')
end
