-- Ends all claims at once: they are put aside, to be taken leave of in pieces by swept.lua.
--
-- KEYS     ends, sources, changes, schema (docs/redis.md)
-- ARGV[1]  prefix of the claims' keys; ARGV[2] of those where they are put; the source follows
-- ARGV[3]  seconds that these stay at most
-- Returns  { source, ... } of those that had any
local schema = redis.call('GET', KEYS[4])
if schema and schema ~= '1' then
  return redis.error_reply('FORMAT the ledger has format ' .. schema .. ', of another release')
end
local found = {}
for _, source in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if redis.call('EXISTS', ARGV[1] .. source) == 1 then
    redis.call('RENAME', ARGV[1] .. source, ARGV[2] .. source)
    redis.call('EXPIRE', ARGV[2] .. source, ARGV[3])
    found[#found + 1] = source
  end
end
redis.call('UNLINK', KEYS[1])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, '*', 'networks', '*')
return found
