import { createServer, type Server } from 'node:http';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parseRule } from '@skbus/fault';
import { stack, StackRequestError } from './stack-client.ts';

let server: Server;
let api = '';
const asked: string[] = [];

beforeAll(async () => {
  server = createServer((req, res) => {
    let body = '';
    req.on('data', (d) => (body += String(d)));
    req.on('end', () => {
      asked.push(`${req.method} ${req.url} ${body}`);
      if (req.method === 'DELETE') res.writeHead(204).end();
      else if (body.includes('wobble')) res.writeHead(400).end('{"message":"\\"wobble\\" is no word of a rule"}');
      else res.end(JSON.stringify({ id: 'f1', matched: 3, hits: 2 }));
    });
  });
  await new Promise<void>((r) => server.listen(0, '127.0.0.1', r));
  api = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
});
afterAll(() => void server.close());

const s = stack('http://x');

test.each([
  [
    s.fault('tcp').ingress().match('tcp.flags.syn == 1').drop().first(2),
    "at tcp rx match 'tcp.flags.syn == 1' drop first 2",
  ],
  [s.fault('nic').egress().netem('delay 100ms 20ms loss 1%').seed(7), 'at nic tx delay 100ms 20ms loss 1% seed 7'],
  [s.fault('ip').func('ip_rcv').set({ 'ip.ttl': 1 }, 'keep').nth(3, 7), 'at ip.ip_rcv set ip.ttl=1 csum keep nth 3,7'],
  [
    s.fault('tcp').match('tcp.payload matches "it\'s"').drop('TCP_CSUM'),
    `at tcp match 'tcp.payload matches "it\\'s"' drop TCP_CSUM`,
  ],
  [s.fault('neigh').ingress().hold().oncePerConnection(), 'at neigh rx hold once per connection'],
  [
    s.fault('tcp').egress().truncate(20).every(10).probability(0.5).afterMs(100).forMs(2000),
    'at tcp tx truncate 20 every 10 probability 0.5 after 100ms for 2000ms',
  ],
])('%#: the text, which is a rule', (builder, text) => {
  expect(builder.text).toBe(text);
  expect(parseRule(text, { id: 'x' }).error).toBeUndefined();
});

test('await adds it; its counters; gone again', async () => {
  const f = await stack(api).fault('tcp').ingress().drop().first(1);
  expect(await f.counters()).toEqual({ matched: 3, hits: 2 });
  await f.remove();
  await stack(api).clearFaults();
  expect(asked).toEqual([
    'POST /faults {"text":"at tcp rx drop first 1"}',
    'GET /faults/f1 ',
    'DELETE /faults/f1 ',
    'DELETE /faults ',
  ]);
});

test('what is wrong with a rule, and no stack, in one sentence', async () => {
  await expect(stack(api).addFault('at tcp wobble')).rejects.toThrow(
    new StackRequestError('"wobble" is no word of a rule'),
  );
  await expect(stack('http://127.0.0.1:1').addFault('at tcp drop')).rejects.toThrow(
    'no stack answers at http://127.0.0.1:1',
  );
});
