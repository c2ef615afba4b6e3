-- Ends a family and leaves a tombstone, so that a later replay is still known for what it is.
--
-- KEYS[1]  the family
-- ARGV     1 the client that asks, or empty   2 now (ms)   3 1 to spare a family with offline access
--          4 how long a record is kept after its end (ms)
-- Returns  unknown | wrong_client | spared | killed, grant, the access tokens that may live (JSON)
local key = KEYS[1]
local f = redis.call('HMGET', key, 'client', 'grant', 'absolute', 'offline', 'dead', 'issued')
if not f[1] then return { 'unknown' } end
if ARGV[1] ~= '' and ARGV[1] ~= f[1] then return { 'wrong_client' } end
if f[5] then return { 'unknown' } end
if ARGV[3] == '1' and f[4] == '1' then return { 'spared' } end
local now = tonumber(ARGV[2])
redis.call('HSET', key, 'dead', ARGV[2])
redis.call('PEXPIRE', key, string.format('%.0f', math.max(tonumber(f[3]) - now, 0) + tonumber(ARGV[4])))
return { 'killed', f[2], f[6] or '' }
