-- Spends of a day's quota, never more than there is.
--
-- KEYS[1]  counter of one service and day; ARGV: limit, wanted, seconds that the counter is kept
-- Returns  how many were granted
local used = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local granted = math.max(0, math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) - used))
if granted > 0 then
  redis.call('SET', KEYS[1], string.format('%d', used + granted), 'EX', ARGV[3])
end
return granted
