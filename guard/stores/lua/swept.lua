-- Some of the claims that sweep.lua put aside.
--
-- KEYS     where those of the source are, sources (docs/redis.md), and where those of sources are
--          whose turn comes later
-- ARGV[1]  prefix of the claims' keys; the source follows
-- ARGV[2]  a cursor, 0 at first; ARGV[3] about how many
-- Returns  the next cursor, { network, claim in JSON, ... }, and { network, ... } of those that
--          are claimed once more, or whose turn comes again
local call = redis.call
local cursor, found = unpack(call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3]))
local others = { unpack(KEYS, 3) }
for _, source in ipairs(call('SMEMBERS', KEYS[2])) do
  if call('EXISTS', ARGV[1] .. source) == 1 then others[#others + 1] = ARGV[1] .. source end
end
local held, again = {}, {}
for _, key in ipairs(others) do
  -- Lua can give no more than some thousand arguments.
  for first = 1, #found, 6000 do
    local networks = {}
    for i = first, math.min(first + 5999, #found), 2 do networks[#networks + 1] = found[i] end
    for i, claim in ipairs(call('HMGET', key, unpack(networks))) do
      if claim and not held[networks[i]] then
        held[networks[i]] = true
        again[#again + 1] = networks[i]
      end
    end
  end
end
return { cursor, found, again }
