import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  credentialsFor,
  credentialsIn,
  ensureCertificate,
  ensureUsersIn,
  makeCredentials,
  NatsBus,
  readCredentials,
  writeNatsConfig,
  type NatsBusOptions,
} from '@skbus/bus';
import { subjects, type Service } from '@skbus/contracts';
import { writeFileSync } from 'node:fs';
import { freePort, startBroker, type TestBroker } from '../support/nats-server.ts';

/** A broker for stacks of several machines. */
async function startTls(hosts: string[]): Promise<TestBroker & { ca: string }> {
  const port = await freePort();
  let ca = '';
  const broker = await startBroker({
    port,
    configure: (_port, dir) => {
      const tls = { cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem') };
      ensureCertificate(tls, 'skbus broker', hosts, Date.now());
      ca = tls.cert;
      const users = ensureUsersIn('a', dir);
      return writeNatsConfig(dir, { listen: `127.0.0.1:${port}`, name: 'tls', storeDir: dir, users, tls });
    },
  });
  return { ...broker, url: `tls://127.0.0.1:${port}`, ca };
}

describe('the bus between machines', () => {
  let broker: TestBroker & { ca: string };
  let other: TestBroker & { ca: string };
  const open: NatsBus[] = [];
  beforeAll(async () => {
    [broker, other] = await Promise.all([startTls(['127.0.0.1']), startTls(['localhost', 'other.example'])]);
  });
  afterAll(async () => {
    await Promise.all(open.map((b) => b.close()));
    await Promise.all([broker.stop(), other.stop()]);
  });

  async function connect(service: Service, more: Partial<NatsBusOptions> = {}): Promise<NatsBus> {
    const bus = await NatsBus.connect({
      url: broker.url,
      name: service,
      caFile: broker.ca,
      credentials: credentialsFor(credentialsIn(broker.dir)(service), 'a', service),
      connectTimeoutMs: 1_000,
      onError: () => {},
      ...more,
    });
    open.push(bus);
    return bus;
  }

  test('with its certificate and an nkey: messages as ever', async () => {
    const [ip, tcp] = [await connect('ip'), await connect('tcp')];
    const got = new Promise<Uint8Array>((resolve) => tcp.subscribe(subjects.skb('a', 'tcp_v4_rcv', 0), resolve));
    await tcp.flush();
    ip.publish(subjects.skb('a', 'tcp_v4_rcv', 0), new Uint8Array([1, 2, 3]));
    expect([...(await got)]).toEqual([1, 2, 3]);
  });

  test.each<[string, () => Partial<NatsBusOptions>, RegExp]>([
    ['no certificate to trust', () => ({ caFile: undefined }), /within 1000 ms: self-signed certificate$/],
    ['the certificate of another', () => ({ caFile: other.ca }), /self-signed certificate|unable to verify/],
    [
      'one that is trusted, and is for another host',
      () => ({ url: other.url, caFile: other.ca }),
      /IP: 127\.0\.0\.1 is not in the cert's list/,
    ],
    ['in the clear', () => ({ url: broker.url.replace('tls:', 'nats:'), caFile: undefined }), /no NATS server answers/],
    [
      'an nkey of our own making',
      () => {
        const file = join(broker.dir, 'forged');
        writeFileSync(file, makeCredentials('a', 'ip').file);
        return { credentials: readCredentials(file) };
      },
      /refuses these credentials/,
    ],
    ['no nkey', () => ({ credentials: undefined }), /refuses these credentials/],
  ])('%s: refused', async (_what, how, why) => {
    await expect(connect('ip', how())).rejects.toThrow(why);
  });

  test('a broker that has no TLS gets nothing, not even a name', async () => {
    const plain = await startBroker();
    const url = plain.url.replace('nats:', 'tls:');
    await expect(connect('ip', { url })).rejects.toThrow(/server does not support 'tls'/);
    await plain.stop();
  });
});
