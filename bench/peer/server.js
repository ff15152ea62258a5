// POST /v1/rank as a team would build it: one MGET for the rows and the user, one ONNX Runtime session and one Redis connection per worker, buffers made once.
import cluster from 'node:cluster';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import fastify from 'fastify';
import Redis from 'ioredis';
import * as ort from 'onnxruntime-node';

const MAX_CANDIDATES = 5000;
const NEWEST_EVENT_BYTES = 8;
const SCORE_DIGITS = 1e7;
// Above the number of candidates: scores and places share one float of 53 bits.
const PLACES = 8192;

const { values: options } = parseArgs({
  options: {
    port: { type: 'string' },
    redis: { type: 'string' }, // path of a socket, or a port of loopback
    bundle: { type: 'string' },
    workers: { type: 'string', default: '2' },
  },
});

const reply = {
  type: 'object',
  properties: {
    request_id: { type: 'string' },
    model: { type: 'string' },
    mode: { type: 'string' },
    reason: { type: 'null' },
    items: {
      type: 'array',
      items: { type: 'object', properties: { id: { type: 'string' }, score: { type: 'number' }, cold: { type: 'boolean' } }, required: ['id', 'score', 'cold'] },
    },
    unknown: { type: 'array', items: { type: 'string' } },
    took_us: { type: 'integer' },
  },
  required: ['request_id', 'model', 'mode', 'items', 'unknown', 'took_us'],
};

// What one ranking needs between its fetch and its reply. Requests that overlap take one each.
class Buffers {
  constructor(dims) {
    this.userBytes = Buffer.alloc(NEWEST_EVENT_BYTES + 4 * (dims.user_state + dims.history * dims.history_state));
    this.rows = new Float32Array(MAX_CANDIDATES * dims.row);
    this.rowBytes = Buffer.from(this.rows.buffer);
    this.scores = new Float32Array(MAX_CANDIDATES);
    this.scoreBits = new Uint32Array(this.scores.buffer);
    this.order = new Float64Array(MAX_CANDIDATES);
    this.cold = new Uint8Array(MAX_CANDIDATES);
    const state = this.userBytes.byteOffset + NEWEST_EVENT_BYTES;
    this.feeds = {
      user_state: new ort.Tensor('float32', new Float32Array(this.userBytes.buffer, state, dims.user_state), [1, dims.user_state]),
      history_state: new ort.Tensor(
        'float32',
        new Float32Array(this.userBytes.buffer, state + 4 * dims.user_state, dims.history * dims.history_state),
        [1, dims.history, dims.history_state]),
      item: null,
    };
    if (dims.context > 0) {
      this.context = new Float32Array(dims.context);
      this.feeds.context = new ort.Tensor('float32', this.context, [1, dims.context]);
    }
  }
}

async function serve() {
  const manifest = JSON.parse(readFileSync(join(options.bundle, 'manifest.json'), 'utf8'));
  const { dims, version } = manifest;
  const context = (manifest.context ?? []).map((x) => x.name);
  const rowBytes = 4 * dims.row;
  const session = await ort.InferenceSession.create(join(options.bundle, 'ranker.onnx'), {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
  });
  const redis = /^\d+$/.test(options.redis) ? new Redis({ host: '127.0.0.1', port: Number(options.redis) }) : new Redis({ path: options.redis });
  await redis.ping();

  const pool = [];
  const app = fastify({ logger: false, bodyLimit: 1 << 20, onProtoPoisoning: 'ignore', onConstructorPoisoning: 'ignore' });
  app.get('/healthz/ready', () => ({ status: 'ready' }));
  app.post('/v1/rank', { schema: { response: { 200: reply } } }, async (request, response) => {
    const started = performance.now();
    const { user, items, limit, request_id: requestId } = request.body;
    if (items.length > MAX_CANDIDATES) return response.code(400).send({ error: 'too many items' });
    const keys = new Array(items.length + 1);
    keys[0] = 'u:' + user;
    for (let i = 0; i < items.length; i++) keys[i + 1] = 'i:' + items[i];
    const found = await redis.callBuffer('MGET', keys);
    if (found[0] === null) return response.code(404).send({ error: 'user unknown' });

    const buffers = pool.pop() ?? new Buffers(dims);
    try {
      const now = request.body.context?.timestamp ?? Math.floor(Date.now() / 1000);
      found[0].copy(buffers.userBytes);
      for (let i = 0; i < context.length; i++) {
        buffers.context[i] = contextValue(context[i], now, buffers.userBytes.readDoubleLE(0), request.body.context);
      }

      const known = [];
      const unknown = [];
      for (let i = 0; i < items.length; i++) {
        const value = found[i + 1];
        if (value === null) {
          unknown.push(items[i]);
        } else {
          const place = known.length;
          value.copy(buffers.rowBytes, place * rowBytes, 0, rowBytes);
          buffers.cold[place] = value[rowBytes];
          known.push(items[i]);
        }
      }

      const ranked = await rank(buffers, known, limit);
      const tookUs = Math.round((performance.now() - started) * 1000);
      return { request_id: requestId ?? randomUUID(), model: version, mode: 'model', reason: null, items: ranked, unknown, took_us: tookUs };
    } finally {
      pool.push(buffers);
    }
  });

  async function rank(buffers, ids, limit) {
    const count = ids.length;
    if (count === 0) return [];
    buffers.feeds.item = new ort.Tensor('float32', buffers.rows.subarray(0, count * dims.row), [1, count, dims.row]);
    await session.run(buffers.feeds, { score: new ort.Tensor('float32', buffers.scores.subarray(0, count), [1, count]) });

    // Bits of floats from 0 up rise with them: a sort of numbers, which needs no call of a comparison.
    const order = buffers.order.subarray(0, count);
    for (let i = 0; i < count; i++) order[i] = buffers.scoreBits[i] * PLACES + (PLACES - 1 - i);
    order.sort();
    const most = limit > 0 ? Math.min(limit, count) : count;
    const ranked = new Array(most);
    for (let i = 0; i < most; i++) {
      const place = PLACES - 1 - (order[count - 1 - i] % PLACES);
      ranked[i] = { id: ids[place], score: Math.round(buffers.scores[place] * SCORE_DIGITS) / SCORE_DIGITS, cold: buffers.cold[place] === 1 };
    }

    return ranked;
  }

  await app.listen({ host: '127.0.0.1', port: Number(options.port) });
}

// As docs/bundle-format.md, section 6. Times in seconds; NaN for no event.
function contextValue(name, now, newest, given) {
  switch (name) {
    case 'since_last_event':
      return Number.isNaN(newest) ? -1 : Math.log1p(Math.max(0, now - newest));
    case 'hour_sin':
      return Math.sin((2 * Math.PI * ((now / 3600) % 24)) / 24);
    case 'hour_cos':
      return Math.cos((2 * Math.PI * ((now / 3600) % 24)) / 24);
    default:
      return given?.[name] ?? 0;
  }
}

if (cluster.isPrimary) {
  for (let i = 0; i < Number(options.workers); i++) cluster.fork();
  // A worker that ends takes the service with it: a measurement of what is left would mislead.
  cluster.on('exit', (_, code) => process.exit(code || 1));
  process.on('SIGTERM', () => process.exit(0));
} else {
  await serve();
}
