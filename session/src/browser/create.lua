-- Begins a session. When its account has too many, the one that began first ends with it.
--
-- KEYS     1 the session   2 the index of the SSO session   3 the index of the account
-- ARGV     1 its id   2 the SSO session's id   3 now (ms)   4 when it ends at the latest (ms)
--          5 its time to live (ms)   6 how many an account has   7… fields and values of the record
-- Returns  how many lived and had to go
local function parts(member)
    return string.match(member, '^([^:]+):(.*)$')
end

local function key_of(member)
    return 'haetae:browser:{' .. parts(member) .. '}'
end

local ended = make_room(
    KEYS[3],
    tonumber(ARGV[6]),
    function(member) return redis.call('EXISTS', key_of(member)) == 0 end,
    function(member)
        local id, sid = parts(member)
        redis.call('DEL', key_of(member))
        redis.call('ZREM', 'haetae:browser:sid:' .. sid, id)
    end
)
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
list(KEYS[2], ARGV[1], ARGV[4], ARGV[3])
list(KEYS[3], ARGV[1] .. ':' .. ARGV[2], ARGV[4], ARGV[3])
return #ended
