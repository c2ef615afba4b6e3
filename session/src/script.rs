//! Lua scripts: loaded when a store connects, so that a call is one `EVALSHA`; loaded again by the call
//! itself when Redis was restarted and has forgotten them (`NOSCRIPT`).

use haetae_base::redis::Redis;
use redis::{RedisError, Script};

/// Loads `scripts` into Redis.
pub(crate) async fn load(redis: &Redis, scripts: &[&Script]) -> Result<(), RedisError> {
    let mut connection = redis.connection();
    for script in scripts {
        script.load_async(&mut connection).await?;
    }
    Ok(())
}

/// A script that begins a record, with what `index/place.lua` gives it. The first line makes Redis refuse all
/// of it when its memory is full: without it, only what comes before the first deletion would be.
pub(crate) fn begin(text: &str) -> Script {
    Script::new(&format!("#!lua\n{}{text}", include_str!("index/place.lua")))
}

/// A script that Redis runs also when its memory is full: one that ends something or says that it has ended, and so
/// must never be refused, or that writes no more than was there.
pub(crate) fn despite_full_memory(text: &str) -> Script {
    Script::new(&format!("#!lua flags=allow-oom\n{text}"))
}

/// Sets fields of a hash and its time to live, but only while the hash exists, has no field `closing` (and,
/// if a guard is given, while its field `hash` has that value): what was ended meanwhile does not come back
/// half.
///
/// `KEYS[1]` the hash; `ARGV[1]` the guard or empty; `ARGV[2]` milliseconds to live, 0 to leave them; then
/// fields and values. Returns 1 when it was done.
pub(crate) fn update_existing() -> Script {
    despite_full_memory(
        r"
        if ARGV[1] == '' then
            if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
        elseif redis.call('HGET', KEYS[1], 'hash') ~= ARGV[1] then
            return 0
        end
        if redis.call('HEXISTS', KEYS[1], 'closing') == 1 then return 0 end
        redis.call('HSET', KEYS[1], unpack(ARGV, 3))
        if ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        return 1
        ",
    )
}

/// Deletes a hash and returns the fields `ARGV` of it, or all when none is named. A script, since a full Redis refuses
/// whatever is queued in a transaction.
pub(crate) fn take() -> Script {
    despite_full_memory(
        r"
        local fields
        if #ARGV == 0 then
            fields = redis.call('HGETALL', KEYS[1])
        else
            fields = redis.call('HMGET', KEYS[1], unpack(ARGV))
        end
        redis.call('DEL', KEYS[1])
        return fields
        ",
    )
}

/// Sets the field `ARGV[1]` of a hash, but only while the hash exists. Returns whether it does.
pub(crate) fn mark_existing() -> Script {
    despite_full_memory(
        r"
        if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
        redis.call('HSET', KEYS[1], ARGV[1], '1')
        return 1
        ",
    )
}
