-- Makes a source's claims what they are to be, at once: differences, or a whole new hash.
--
-- KEYS     claims of the source, sources, changes, a new hash that takes their place if it
--          is there, schema (docs/redis.md)
-- ARGV[1]  source
-- ARGV[2]  networks touched, separated by blanks, or "*" for more than are worth naming
-- ARGV[3]  how many claims to set; ARGV[4] network, claim in JSON, and so on; networks to remove
local schema = redis.call('GET', KEYS[5])
if schema and schema ~= '1' then
  return redis.error_reply('FORMAT the ledger has format ' .. schema .. ', of another release')
end
local first_gone = 4 + 2 * tonumber(ARGV[3])
if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('RENAME', KEYS[4], KEYS[1]) end
for i = 4, first_gone - 1, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = first_gone, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('PERSIST', KEYS[1])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, '*', 'networks', ARGV[2])
return redis.status_reply('OK')
