-- Makes a source's claims what they are to be, at once: differences, or a whole new hash.
--
-- KEYS     claims of the source, sources, changes, a new hash that takes their place if it
--          is there, schema (docs/redis.md)
-- ARGV[1]  source
-- ARGV[2]  networks touched, separated by blanks, or "*" for more than are worth naming
-- ARGV[3]  MessagePack: { { network, claim in JSON, ... }, { network, ... } }: to set, to remove
local schema = redis.call('GET', KEYS[5])
if schema and schema ~= '1' then
  return redis.error_reply('FORMAT the ledger has format ' .. schema .. ', of another release')
end
local changed = cmsgpack.unpack(ARGV[3])
if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('RENAME', KEYS[4], KEYS[1]) end
for i = 1, #changed[1], 2 do redis.call('HSET', KEYS[1], changed[1][i], changed[1][i + 1]) end
for _, network in ipairs(changed[2]) do redis.call('HDEL', KEYS[1], network) end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('PERSIST', KEYS[1])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, '*', 'networks', ARGV[2])
return redis.status_reply('OK')
