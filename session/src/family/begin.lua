-- Begins a family. When its account has too many at this client, the one that began first ends with it.
--
-- KEYS     1 the family   2 all that is kept of this account at this client   3 the index of the account
--          4 the index of the session, if there is one
-- ARGV     1 its id   2 its session's id, or empty   3 now (ms)   4 when it ends at the latest (ms)
--          5 how long the record is kept (ms)   6 how many are kept   7 client
--          8 1 if families end with their session   9… fields and values of the record
-- Returns  the ids of those that lived and had to go
local family, of_client, of_account, of_session = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, sid, now, ends = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function key_of(member)
    return 'haetae:family:{' .. string.match(member, '^[^:]+') .. '}'
end

local function is_over(member)
    local f = redis.call('HMGET', key_of(member), 'idle', 'dead', 'session')
    if not f[1] or f[2] or tonumber(now) >= tonumber(f[1]) then return true end
    return ARGV[8] == '1' and f[3] and redis.call('EXISTS', f[3]) == 0
end

local function remove(member)
    local other, session = string.match(member, '^([^:]+):(.*)$')
    redis.call('DEL', key_of(member))
    redis.call('ZREM', of_account, other)
    if session ~= '' then redis.call('ZREM', 'haetae:family:sid:' .. session, other) end
end

-- Families from before there was this index: the newest of the account, as many as can be looked at at once.
if redis.call('EXISTS', of_client) == 0 then
    local others = redis.call('ZREVRANGEBYSCORE', of_account, '+inf', '(' .. now, 'WITHSCORES', 'LIMIT', 0, 1000)
    for at = 1, #others, 2 do
        local f = redis.call('HMGET', key_of(others[at]), 'client', 'grant')
        if f[1] == ARGV[7] then
            local session = cjson.decode(f[2]).sid
            session = type(session) == 'string' and session or ''
            redis.call('ZADD', of_client, others[at + 1], others[at] .. ':' .. session)
        end
    end
end

local ended = make_room(of_client, tonumber(ARGV[6]), is_over, remove)
redis.call('HSET', family, unpack(ARGV, 9))
redis.call('PEXPIRE', family, ARGV[5])
list(of_client, id .. ':' .. sid, ends, now)
list(of_account, id, ends, now)
if of_session then list(of_session, id, ends, now) end
for at, member in ipairs(ended) do ended[at] = string.match(member, '^[^:]+') end
return ended
