-- Raises what is spent of a day's quota to what the service says, never lowers it.
--
-- KEYS[1]  counter of one service and day; ARGV: spent, seconds that the counter is kept
local used = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if tonumber(ARGV[1]) > used then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
return 1
