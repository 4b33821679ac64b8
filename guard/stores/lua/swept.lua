-- Takes leave of some of the claims that sweep.lua put aside.
--
-- KEYS     where those of the source are, struck, sources (docs/redis.md), and where those of
--          sources are whose turn comes later
-- ARGV[1]  prefix of the claims' keys; the source follows
-- ARGV[2]  the source; ARGV[3] now, of the sweep
-- ARGV[4]  a cursor, 0 at first; ARGV[5] about how many
-- Returns  the next cursor, { network, claim in JSON, ... }, and { network, ... } of those that
--          are claimed once more, or whose turn comes again
local call = redis.call
local cursor, pairs_ = unpack(call('HSCAN', KEYS[1], ARGV[4], 'COUNT', ARGV[5]))
local now = tonumber(ARGV[3])
local lives = {}
for _, source in ipairs(call('SMEMBERS', KEYS[3])) do
  if call('EXISTS', ARGV[1] .. source) == 1 then lives[#lives + 1] = ARGV[1] .. source end
end
local again = {}
-- Lua can give no more than some thousand arguments.
for first = 1, #pairs_, 6000 do
  local networks, later, live = {}, {}, {}
  for i = first, math.min(first + 5999, #pairs_), 2 do networks[#networks + 1] = pairs_[i] end
  for _, key in ipairs(lives) do
    for i, held in ipairs(call('HMGET', key, unpack(networks))) do live[i] = live[i] or held end
  end
  for number = 4, #KEYS do
    for i, held in ipairs(call('HMGET', KEYS[number], unpack(networks))) do
      later[i] = later[i] or held
    end
  end
  if string.sub(ARGV[2], 1, 5) == 'jail:' then
    local struck = {}
    for i, ended in ipairs(call('ZMSCORE', KEYS[2], unpack(networks))) do
      -- A ban that was ended early counts its strikes' age from then.
      if ended and tonumber(ended) > now and not live[i] then
        struck[#struck + 1] = ARGV[3]
        struck[#struck + 1] = networks[i]
      end
    end
    if #struck > 0 then call('ZADD', KEYS[2], unpack(struck)) end
  end
  for i, network in ipairs(networks) do
    if live[i] or later[i] then again[#again + 1] = network end
  end
  call('HDEL', KEYS[1], unpack(networks))
end
return { cursor, pairs_, again }
