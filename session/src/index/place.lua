-- What the scripts that begin a record share: its place in the indexes, and room for it there.

-- Lists a record until the instant (ms) at which it ends at the latest, and sweeps what has ended.
local function list(index, member, ends, now)
    redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
    redis.call('ZADD', index, ends, member)
    -- The longest-lived entry decides. `GT` alone leaves a key that has no time to live as it is.
    local live = string.format('%.0f', math.max(tonumber(ends) - tonumber(now), 1))
    redis.call('PEXPIRE', index, live, 'NX')
    redis.call('PEXPIRE', index, live, 'GT')
end

-- Makes room for one more in an index that holds `most`: first goes what is over, then what began first.
-- `is_over` and `remove` are asked and told by member. Returns those that lived and had to go. Only the oldest
-- are asked, 32 of them, so that who lives at the bound does not make Redis look through all they have.
local function make_room(index, most, is_over, remove)
    local excess, ended = redis.call('ZCARD', index) - most + 1, {}
    if excess <= 0 then return ended end
    local living = {}
    local function drop(member)
        remove(member)
        redis.call('ZREM', index, member)
        excess = excess - 1
    end
    for _, member in ipairs(redis.call('ZRANGE', index, 0, excess + 30)) do
        if excess <= 0 then return ended end
        if is_over(member) then drop(member) else living[#living + 1] = member end
    end
    for at = 1, excess do
        drop(living[at])
        ended[at] = living[at]
    end
    return ended
end
