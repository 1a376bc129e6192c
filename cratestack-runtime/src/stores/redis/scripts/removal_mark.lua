-- What the last removal of an outcome has set. A script, as a plain `GET` may be sent to a replica.
return redis.call('GET', KEYS[1])
