// Puts the records of a file into Redis: key length (uint16), key, value length (uint32), value, little-endian, one after the other.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import Redis from 'ioredis';

const BATCH = 1000;

const { values: options } = parseArgs({ options: { redis: { type: 'string' }, file: { type: 'string' } } });
const redis = /^\d+$/.test(options.redis) ? new Redis({ host: '127.0.0.1', port: Number(options.redis) }) : new Redis({ path: options.redis });
const file = readFileSync(options.file);

let records = 0;
for (let at = 0; at < file.length;) {
  const pipeline = redis.pipeline();
  for (let i = 0; i < BATCH && at < file.length; i++, records++) {
    const key = take(file.readUInt16LE(at), 2);
    const value = take(file.readUInt32LE(at), 4);
    pipeline.set(key, value);
  }

  for (const [error] of await pipeline.exec()) {
    if (error) throw error;
  }

  function take(length, head) {
    const begin = at + head;
    at = begin + length;
    return file.subarray(begin, at);
  }
}

console.log(`${records} records`);
await redis.quit();
