-- Stores an authorization code and forgets the oldest of its account: KEYS[1] the code, KEYS[2] the list of the
-- account's codes, the newest first; ARGV[1] the client, ARGV[2] what is granted, ARGV[3] the code's time to live
-- and ARGV[4] the list's, in ms, ARGV[5] how many are kept.
redis.call('HSET', KEYS[1], 'client', ARGV[1], 'grant', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('LPUSH', KEYS[2], KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
while redis.call('LLEN', KEYS[2]) > tonumber(ARGV[5]) do
  redis.call('DEL', redis.call('RPOP', KEYS[2]))
end
