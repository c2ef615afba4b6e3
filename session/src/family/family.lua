-- One use of a refresh token, decided and done in one step.
--
-- KEYS[1]  the family
-- ARGV     1 hash of the presented token   2 client   3 now (ms)   4 grace (ms)   5 idle lifetime (ms)
--          6 hash of the successor, if this use makes one   7 that successor, sealed
--          8 how many rotated tokens to remember   9 how long a record is kept after its end (ms)
--          10 the access token that comes with it, "ends at (ms):jti", or empty
--          11 generation of the presented token
--          12 idle lifetime of SSO sessions (ms), 0 to ask no session
--          13 when the caller has given up (ms of this server's clock), 0 if that is not known
--          14… the scopes that are asked for, if fewer than all
-- Returns  unknown | wrong_client | expired | scope | lost | late
--          rotated, grant, absolute | replayed, grant, absolute, sealed successor
--          reused, grant, 1 if this use ended the family, the access tokens that may live (JSON)
--          and behind each of them this server's clock (ms)
local key = KEYS[1]
local presented, client, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local grace, slack = tonumber(ARGV[4]), tonumber(ARGV[9])
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)

local function decide()
    -- A server that hung does at last what nobody waits for any more. The client was told that it did not
    -- happen, and will be back with the same token, perhaps after the grace: so it must not happen.
    local given_up = tonumber(ARGV[13])
    if given_up > 0 and clock > given_up then return { 'late' } end

    local f = redis.call('HMGET', key, 'client', 'current', 'grant', 'scope', 'absolute', 'idle', 'recent', 'dead', 'issued', 'generation', 'session')
    local owner, current, grant, scope, recent, dead = f[1], f[2], f[3], f[4], f[7], f[8]
    if not owner then return { 'unknown' } end
    -- Before all else: a client that presents another's token changes nothing.
    if owner ~= client then return { 'wrong_client' } end
    local absolute, idle = tonumber(f[5]), tonumber(f[6])

    recent = recent and cmsgpack.unpack(recent) or {}
    local successor
    for _, rotated in ipairs(recent) do
        if rotated[1] == presented and now - rotated[2] < grace then successor = rotated[3] end
    end

    local generation = tonumber(f[10])
    local younger = tonumber(ARGV[11]) > generation
    if dead then
        -- What was good when the family ended is merely over; anything older is a replay, again.
        if presented == current or successor or younger then return { 'unknown' } end
        return { 'reused', grant, '0', f[9] or '' }
    end
    if now >= absolute or now >= idle then return { 'expired' } end

    -- Without offline access it ends with the session in which it was granted. That is another key, which only
    -- the family's record names: one Redis, no cluster.
    local session, session_ends, session_idle = f[11], nil, tonumber(ARGV[12])
    if session and session_idle > 0 then
        local s = redis.call('HMGET', session, 'about', 'seen', 'closing')
        if not s[1] or s[3] then return { 'expired' } end
        session_ends = tonumber(cjson.decode(s[1]).expires_at)
        if now >= session_ends or now >= tonumber(s[2]) + session_idle then return { 'expired' } end
    end

    if presented ~= current and not successor then
        redis.call('HSET', key, 'dead', ARGV[3])
        redis.call('PEXPIRE', key, string.format('%.0f', absolute - now + slack))
        -- A token that was issued later than the current one: nobody stole it, Redis lost the rotation that
        -- made it. What it took the place of is spent all the same, so the family ends either way.
        if younger then return { 'lost' } end
        return { 'reused', grant, '1', f[9] or '' }
    end

    -- Before anything is consumed: a refused request leaves the client its token.
    for at = 14, #ARGV do
        if not string.find(scope, ' ' .. ARGV[at] .. ' ', 1, true) then return { 'scope' } end
    end

    -- The access tokens of the family, so that its end can be theirs. Those that are over are forgotten; of
    -- more than 16 at once the oldest lose their names, and "ends at:*" stands for them.
    if ARGV[10] ~= '' then
        local named, unnamed = {}, nil
        for _, token in ipairs(f[9] and cjson.decode(f[9]) or {}) do
            local ends, jti = string.match(token, '^(%d+):(.*)$')
            if tonumber(ends) > now then
                if jti == '*' then unnamed = token else named[#named + 1] = token end
            end
        end
        named[#named + 1] = ARGV[10]
        if #named > 16 then unnamed = string.match(table.remove(named, 1), '^%d+') .. ':*' end
        if unnamed then table.insert(named, 1, unnamed) end
        redis.call('HSET', key, 'issued', cjson.encode(named))
    end

    if successor then return { 'replayed', grant, f[5], successor } end

    local kept = {}
    for _, rotated in ipairs(recent) do
        if now - rotated[2] < grace then kept[#kept + 1] = rotated end
    end
    kept[#kept + 1] = { current, now, ARGV[7] }
    if #kept > tonumber(ARGV[8]) then table.remove(kept, 1) end
    idle = math.min(now + tonumber(ARGV[5]), absolute)
    redis.call('HSET', key, 'current', ARGV[6], 'generation', generation + 1, 'idle', string.format('%.0f', idle), 'recent', cmsgpack.pack(kept))
    redis.call('PEXPIRE', key, string.format('%.0f', idle - now + slack))
    if session_ends then
        -- Whoever uses an application uses the session.
        redis.call('HSET', session, 'seen', ARGV[3])
        redis.call('PEXPIRE', session, string.format('%.0f', math.min(session_idle, session_ends - now)))
    end
    return { 'rotated', grant, f[5] }
end

local answer = decide()
answer[#answer + 1] = string.format('%.0f', clock)
return answer
