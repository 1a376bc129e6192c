-- Tells those who wait for this record, by the channel that lies in its slot; before Redis 7, by one of the whole Cluster.
-- Where the user may not publish, they poll.
local function wake()
  redis.call('HDEL', KEYS[1], 'waiting')
  local told = redis.pcall('SPUBLISH', KEYS[1], '')
  if type(told) == 'table' and told.err then
    redis.pcall('PUBLISH', KEYS[1], '')
  end
end
