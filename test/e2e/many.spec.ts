import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectConserved } from '../support/conservation.ts';
import { eventually, Stack, whyNoTap } from '../support/stack.ts';

const why = whyNoTap('hping3');
if (why) process.stderr.write(`many connections: skipped (${why})\n`);

const MANY = 10_000;
const program = fileURLToPath(new URL('./many-connections.mjs', import.meta.url));

/** What a running program says, a JSON object a line. */
class Talk {
  private readonly lines: AsyncIterator<string>;
  private readonly child: ChildProcess;

  constructor(child: ChildProcess) {
    this.child = child;
    this.lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  async hear(): Promise<unknown> {
    return JSON.parse(((await this.lines.next()) as { value: string }).value);
  }

  ask(line: string): Promise<unknown> {
    this.child.stdin!.write(`${line}\n`);
    return this.hear();
  }
}

(why ? describe.skip : describe)('many connections', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.up('e2e-many');
  }, 90_000);
  afterAll(async () => {
    await stack?.down();
  }, 30_000);

  const established = async (): Promise<number> =>
    (await stack.json<{ state: string }[]>('ss', '-t')).filter((s) => s.state === 'ESTAB').length;

  test(`${MANY} connections: open, all of them busy, closed`, async () => {
    const talk = new Talk(stack.peerStart(process.execPath, program, '10.77.0.2', '7', String(MANY)));
    expect(await talk.hear()).toEqual({ open: MANY, errors: 0 });
    // The client counts a connection from the SYN-ACK on, the stack from the ACK.
    await eventually('all are established', async () => (await established()) === MANY);
    expect(await talk.ask('busy 2')).toMatchObject({ echoed: MANY, wrong: 0 });
    expect(await talk.ask('close')).toEqual({ closed: MANY });
    await eventually('no connection is left', async () => (await established()) === 0);
    await expectConserved(stack);
  }, 180_000);

  test('a SYN flood stops neither what is established nor who comes anew', async () => {
    const talk = new Talk(stack.peerStart(process.execPath, program, '10.77.0.2', '7', '20'));
    expect(await talk.hear()).toEqual({ open: 20, errors: 0 });
    const flood = stack.peerStart('hping3', '-q', '-S', '-p', '80', '--rand-source', '-i', 'u200', '10.77.0.2');
    await eventually('cookies are sent', async () => {
      const n = await stack.json<{ kernel: Record<string, number> }>('nstat');
      return (n.kernel['TcpExtSyncookiesSent'] ?? 0) > 1_000;
    });
    expect(await talk.ask('busy 5')).toMatchObject({ echoed: 20, wrong: 0 });
    for (let i = 0; i < 5; i++) {
      const r = await stack.peer(
        'curl',
        '-sS',
        '-m',
        '10',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        'http://10.77.0.2/',
      );
      expect(r.stdout).toBe('200');
    }
    flood.kill('SIGTERM');
    expect(await talk.ask('close')).toEqual({ closed: 20 });
  }, 90_000);
});
