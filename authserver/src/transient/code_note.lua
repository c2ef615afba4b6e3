-- Notes what was issued for a redeemed code: KEYS[1] the code, ARGV[1] what. Returns 1 when the code was
-- presented again in the meantime, or is gone (then nobody could revoke by it), otherwise 0.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 1
end
redis.call('HSET', KEYS[1], 'issued', ARGV[1])
if redis.call('HEXISTS', KEYS[1], 'replayed') == 1 then
  return 1
end
return 0
