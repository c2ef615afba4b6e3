-- Redeems an authorization code: KEYS[1] the code; ARGV[1] the client, ARGV[2] what is about to be issued,
-- ARGV[3] how long to remember it, in ms. The first call marks it; every later one leaves the mark
-- "replayed" and gets what the first one issued.
local stored = redis.call('HMGET', KEYS[1], 'client', 'grant', 'issued')
if not stored[1] then
  return {'unknown'}
end
if stored[1] ~= ARGV[1] then
  return {'wrong_client'}
end
if stored[3] then
  redis.call('HSET', KEYS[1], 'replayed', '1')
  return {'used', stored[2], stored[3]}
end
redis.call('HSET', KEYS[1], 'issued', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'fresh', stored[2]}
