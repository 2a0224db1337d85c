import { createSocket, type Socket } from 'node:dgram';
import { describe, expect, test } from '@jest/globals';
import {
  ARPOP_REPLY,
  ARPOP_REQUEST,
  emitArp,
  emitEthernet,
  emitIcmp,
  emitIpv4Header,
  parseArp,
  parseIcmp,
  parseIpv4Header,
} from '@skbus/wire';
import { expectConserved } from '../support/conservation.ts';
import { freePort } from '../support/nats-server.ts';
import { run, Stack, installed } from '../support/stack.ts';

const suite = installed('nats-server') ? describe : describe.skip;
const ME = 0x0a4d0001;
const MY_MAC = 0x02_00_00_00_00_01;
const STACK = 0x0a4d0002;

suite('back ends that need no privileges', () => {
  test('two stacks on one wire ping each other and fetch pages', async () => {
    const a = await Stack.up('a', '--nic', 'wire');
    try {
      const { services } = await a.json<{ services: { name: string }[] }>('status');
      expect(services.map((s) => s.name)).toContain('nic');
      expect((await a.skbus('ping', '-c', '3', '-i', '0.2', '10.77.0.3')).stdout).toMatch(/ 0% packet loss/);
      const page = await run('curl', [
        '-sS',
        '--max-time',
        '20',
        '--socks5-hostname',
        `127.0.0.1:${a.socksPort}`,
        'http://10.77.0.3/bytes/3000000',
      ]);
      expect([page.code, page.stdout.length]).toEqual([0, 3_000_000]);
      await expectConserved(a);
      const peer = await a.skbus('peer', '--', 'true');
      expect([peer.code, peer.stderr]).toEqual([1, expect.stringMatching(/no Linux peer/)]);
    } finally {
      await a.down();
    }
  }, 90_000);

  test('udp: any program can be the cable', async () => {
    const [ours, theirs] = [await freePort(), await freePort()];
    const cable = createSocket('udp4');
    await new Promise<void>((r) => cable.bind(ours, '127.0.0.1', r));
    const stack = await Stack.up(
      'e2e-udp',
      '--nic',
      'udp',
      '--udp-local',
      `127.0.0.1:${theirs}`,
      '--udp-peer',
      `127.0.0.1:${ours}`,
    );
    try {
      const arp = new Uint8Array(60);
      emitEthernet({ dst: 0xffffffffffff, src: MY_MAC, type: 0x0806 }, arp, 0);
      emitArp({ op: ARPOP_REQUEST, sha: MY_MAC, spa: ME, tha: 0, tpa: STACK }, arp, 14);
      const answer = await exchange(cable, theirs, arp, (f) => parseArp(f, 14, f.length)?.op === ARPOP_REPLY);
      const { sha, spa } = parseArp(answer, 14, answer.length)!;
      expect(spa).toBe(STACK);

      const echo = new Uint8Array(14 + 28 + 32);
      emitEthernet({ dst: sha, src: MY_MAC, type: 0x0800 }, echo, 0);
      emitIpv4Header(
        {
          hlen: 20,
          tos: 0,
          totalLen: 60,
          id: 1,
          df: false,
          mf: false,
          fragOffset: 0,
          ttl: 64,
          proto: 1,
          saddr: ME,
          daddr: STACK,
        },
        echo,
        14,
      );
      emitIcmp({ type: 8, code: 0, id: 77, seq: 5 }, echo, 34, [echo.subarray(42)]);
      const reply = await exchange(cable, theirs, echo, (f) => f[23] === 1 && parseIcmp(f, 34, f.length)?.type === 0);
      expect(parseIpv4Header(reply, 14, reply.length)).toMatchObject({ saddr: STACK, daddr: ME, totalLen: 60 });
      expect(parseIcmp(reply, 34, reply.length)).toMatchObject({ type: 0, id: 77, seq: 5 });
    } finally {
      cable.close();
      await stack.down();
    }
  }, 60_000);
});

test('--inproc: every layer in one process, without a broker', async () => {
  const stack = await Stack.up('a', '--inproc', '--nic', 'wire');
  try {
    expect((await stack.skbus('ping', '-c', '2', '-i', '0.2', '10.77.0.3')).stdout).toMatch(/ 0% packet loss/);
    const { nats } = await stack.json<{ nats: string }>('status');
    expect(nats).toBe('');
  } finally {
    await stack.down();
  }
}, 60_000);

/** Sends a frame, again every half second, until one comes that fits. */
function exchange(
  cable: Socket,
  port: number,
  frame: Uint8Array,
  fits: (f: Uint8Array) => boolean,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const send = (): void => cable.send(frame, port, '127.0.0.1');
    const again = setInterval(send, 500);
    const late = setTimeout(() => reject(new Error('no answer on the cable within 10 s')), 10_000);
    const onFrame = (m: Buffer): void => {
      const f = new Uint8Array(m);
      if (!fits(f)) return;
      clearInterval(again);
      clearTimeout(late);
      cable.off('message', onFrame);
      resolve(f);
    };
    cable.on('message', onFrame);
    send();
  });
}
