-- Reads a browser session and slides its idle timeout, in one round trip.
--
-- KEYS[1]  the session
-- ARGV     1 now (ms)   2 idle lifetime (ms)   3 do not write if it was seen less than this ago (ms)
-- Returns  nothing | sealed record, version, absolute end (ms)
local f = redis.call('HMGET', KEYS[1], 'sealed', 'version', 'absolute', 'seen')
if not f[1] then return {} end
local now, idle = tonumber(ARGV[1]), tonumber(ARGV[2])
local absolute, seen = tonumber(f[3]), tonumber(f[4])
if now >= absolute or now >= seen + idle then return {} end
if now - seen >= tonumber(ARGV[3]) then
    redis.call('HSET', KEYS[1], 'seen', ARGV[1])
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(idle, absolute - now)))
end
return { f[1], f[2], f[3] }
