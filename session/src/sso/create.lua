-- Begins a session. When its account has too many, the one that began first ends with it.
--
-- KEYS     1 the session   2 the index of the account
-- ARGV     1 its id   2 now (ms)   3 when it ends at the latest (ms)   4 its time to live (ms)
--          5 how many an account has   6… fields and values of the record
-- Returns  the ids of those that lived and had to go
local function key_of(sid)
    return 'haetae:sso:{' .. sid .. '}'
end

local ended = make_room(
    KEYS[2],
    tonumber(ARGV[5]),
    function(sid) return redis.call('EXISTS', key_of(sid)) == 0 end,
    function(sid) redis.call('DEL', key_of(sid)) end
)
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
list(KEYS[2], ARGV[1], ARGV[3], ARGV[2])
return ended
