-- Has the strikes of some networks count their age from now: their bans were ended early.
--
-- KEYS     struck, sources, schema (docs/redis.md), and where sweep.lua put the claims of jails
-- ARGV[1]  prefix of the claims' keys; the source follows
-- ARGV[2]  the time to count from; ARGV[3] those later than this, ARGV[4] of them so many left out
-- ARGV[5]  at most so many
-- Returns  how many there were, and how many of these stay as they are
--
-- In the order of their ends, so that Redis finds each beside the one before.
local call = redis.call
local schema = call('GET', KEYS[3])
if schema and schema ~= '1' then
  return redis.error_reply('FORMAT the ledger has format ' .. schema .. ', of another release')
end
local networks = call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[3], '+inf', 'LIMIT', ARGV[4], ARGV[5])
if #networks == 0 then return { 0, 0 } end
local ended, live = {}, {}
for number = 4, #KEYS do
  for i, claim in ipairs(call('HMGET', KEYS[number], unpack(networks))) do
    ended[i] = ended[i] or claim
  end
end
for _, source in ipairs(call('SMEMBERS', KEYS[2])) do
  for i, claim in ipairs(call('HMGET', ARGV[1] .. source, unpack(networks))) do
    live[i] = live[i] or claim
  end
end
local struck = {}
for i, network in ipairs(networks) do
  if ended[i] and not live[i] then
    struck[#struck + 1] = ARGV[2]
    struck[#struck + 1] = network
  end
end
-- Lua can give no more than some thousand arguments.
for first = 1, #struck, 6000 do
  call('ZADD', KEYS[1], unpack(struck, first, math.min(first + 5999, #struck)))
end
return { #networks, #networks - #struck / 2 }
