-- Adds records to the stream of rejections, each once although a call may come twice.
--
-- KEYS     the stream, and the number of the last record that this sender added
-- ARGV[1]  the number of the first record; ARGV[2] how many the stream holds at most, about
-- ARGV[3]  and so on: the records
local first, last = tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[2]) or '0')
for i = 3, #ARGV do
  if first + i - 3 > last then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'record', ARGV[i])
  end
end
local newest = math.max(last, first + #ARGV - 3)
redis.call('SET', KEYS[2], string.format('%d', newest), 'EX', 86400)
return redis.status_reply('OK')
