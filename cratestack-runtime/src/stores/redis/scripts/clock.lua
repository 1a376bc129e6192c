-- The server's clock, in milliseconds since the Unix epoch.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
