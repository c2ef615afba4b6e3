-- Stores a value and forgets the oldest of its crowd: KEYS[1] the value's key, KEYS[2] the list of the crowd's
-- keys, the newest first; ARGV[1] the value, ARGV[2] its time to live in ms, ARGV[3] how many are kept.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('LPUSH', KEYS[2], KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
while redis.call('LLEN', KEYS[2]) > tonumber(ARGV[3]) do
  redis.call('DEL', redis.call('RPOP', KEYS[2]))
end
