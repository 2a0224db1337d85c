import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { credentialsFor, credentialsIn, ensureUsersIn, NatsBus, natsConfig, readCredentials } from '@skbus/bus';
import { inboxOf, pb, subjects, type Service } from '@skbus/contracts';
import { readConfig, startLayer, type RunningLayer } from '@skbus/nest-kit';
import { connect, nkeyAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { startBroker, type TestBroker } from '../support/nats-server.ts';

let broker: TestBroker;
/** Somebody with the `nats` tool and the observer's credentials. */
let observer: NatsConnection;
const buses: NatsBus[] = [];
const layers: RunningLayer[] = [];

beforeAll(async () => {
  broker = await startBroker({
    configure: (port, dir) => {
      const conf = join(dir, 'nats.conf');
      const users = ensureUsersIn('a', dir);
      writeFileSync(conf, natsConfig({ listen: `127.0.0.1:${port}`, name: 't', storeDir: join(dir, 'js'), users }));
      return conf;
    },
  });
  const creds = credentialsIn(broker.dir);
  for (const layer of ['ip', 'udp'] as const) {
    const credentials = credentialsFor(creds(layer), 'a', layer);
    const bus = await NatsBus.connect({ url: broker.url, name: layer, credentials });
    buses.push(bus);
    const config = readConfig({ SKBUS_NETNS: 'a', SKBUS_LOG_LEVEL: 'silent' });
    layers.push(await startLayer({ layer, providers: [] }, bus, config));
  }
  observer = await connect({
    servers: broker.url,
    authenticator: nkeyAuthenticator(readCredentials(creds('observer')).seed),
    inboxPrefix: inboxOf('a', 'observer' as Service),
  });
}, 30_000);

afterAll(async () => {
  await observer?.close();
  for (const l of layers) await l.close();
  for (const b of buses) await b.close();
  await broker?.stop();
});

/** As `nats micro` asks: everybody who answers. */
async function ask(subject: string, n: number): Promise<Record<string, any>[]> {
  const answers: Record<string, any>[] = [];
  for await (const m of await observer.requestMany(subject, '', { strategy: 'count', maxWait: 5_000, maxMessages: n }))
    answers.push(m.json());
  return answers.toSorted((x, y) => String(x.name).localeCompare(String(y.name)));
}

test('nats micro ping, ls: each layer says who it is', async () => {
  const all = await ask('$SRV.PING', 2);
  expect(all.map(({ type, name, version, metadata }) => [type, name, version, metadata.stack])).toEqual([
    ['io.nats.micro.v1.ping_response', 'skbus-ip', '0.1.0', 'a'],
    ['io.nats.micro.v1.ping_response', 'skbus-udp', '0.1.0', 'a'],
  ]);
  const [ip] = await ask('$SRV.PING.skbus-ip', 1);
  expect(await ask(`$SRV.PING.skbus-ip.${ip!.id}`, 1)).toEqual([ip]);
});

test('nats micro info: the verbs it answers, with their subjects', async () => {
  const [ip] = await ask('$SRV.INFO.skbus-ip', 1);
  expect(ip!.endpoints).toContainEqual({
    name: 'health',
    subject: subjects.ctl('a', 'ip', 'health'),
    queue_group: '',
    metadata: {},
  });
});

test('nats micro stats: what was asked, what failed, and the layer’s own counters', async () => {
  const bad = pb.FaultControlRequest.encode({ rule: 'none' }).finish();
  layers[0]!.kit.env.mib.inc('IpInReceives', 3);
  const own = await connect({
    servers: broker.url,
    authenticator: nkeyAuthenticator(readCredentials(credentialsIn(broker.dir)('orchestrator')).seed),
    inboxPrefix: inboxOf('a', 'orchestrator'),
  });
  await own.request(subjects.ctl('a', 'ip', 'health'));
  await own.request(subjects.ctl('a', 'ip', 'fault_step'), bad);
  await own.close();
  const [ip] = await ask('$SRV.STATS.skbus-ip', 1);
  const of = (name: string): any => ip!.endpoints.find((e: any) => e.name === name);
  expect(of('health')).toMatchObject({ num_requests: 1, num_errors: 0, last_error: '' });
  expect(of('health').average_processing_time).toBe(of('health').processing_time);
  expect(of('fault_step').num_requests).toBe(1);
  expect(of('stats').data).toMatchObject({ layer: 'ip', mib: { IpInReceives: 3 } });
});
