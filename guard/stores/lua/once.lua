-- Whether something was not done of late; if so it counts as done now.
--
-- KEYS[1]  time at which it was done last; ARGV: now, within
-- Returns  1 when it may be done
--
-- The time is compared, beside the expiry: hosts' clocks differ, and those of tests leap.
local last = tonumber(redis.call('GET', KEYS[1]) or '')
if last and tonumber(ARGV[1]) - last < tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', math.ceil(tonumber(ARGV[2])) + 60)
return 1
