import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, jest, test } from '@jest/globals';
import { packetdrill, type PacketdrillOptions } from '../../apps/cli/src/commands/packetdrill.ts';

const dir = mkdtempSync(join(tmpdir(), 'skbus-pkt-'));
const good = join(dir, 'good.pkt');
const bad = join(dir, 'bad.pkt');
writeFileSync(good, '0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n');
writeFileSync(bad, '0 socket(..., SOCK_STREAM, IPPROTO_TCP) = -1 EINVAL\n');
afterAll(() => rmSync(dir, { recursive: true }));

/** What the command prints, and what it exits with. */
async function run(
  paths: string[],
  o: Partial<PacketdrillOptions> = {},
): Promise<{ out: string; code: number; why: string }> {
  let out = '';
  const stdout = jest.spyOn(process.stdout, 'write').mockImplementation((s) => {
    out += String(s);
    return true;
  });
  try {
    await packetdrill(paths, { target: 'engine', define: [], json: true, ...o });
    return { out, code: 0, why: '' };
  } catch (e) {
    return { out, code: (e as { code: number }).code, why: (e as Error).message };
  } finally {
    stdout.mockRestore();
  }
}

test('JSON for every script; 1 if one failed', async () => {
  expect(await run([good])).toMatchObject({ code: 0 });
  const { out, code } = await run([dir]);
  const { results } = JSON.parse(out) as { results: Record<string, unknown>[] };
  expect(results).toEqual([
    {
      file: bad,
      passed: false,
      error: expect.stringContaining(`${bad}:1:1: socket(): expected -1 EINVAL`),
      ms: expect.any(Number),
    },
    { file: good, passed: true, error: null, ms: expect.any(Number) },
  ]);
  expect(code).toBe(1);
});

test.each([
  [[join(dir, 'none.pkt')], {}, 'no such file or directory'],
  [[good], { target: 'foo' }, '--target foo: expected one of engine, services, linux'],
  [[good], { target: 'linux', wrap: true }, '--wrap needs --target engine'],
  [[good], { define: ['x'] }, '--define x: expected NAME=value'],
  [[good], { timestamps: 'x' }, '--timestamps x: expected on or off'],
  [[good], { iss: '-1' }, '--iss -1: expected a number'],
])('2 for what makes no sense: %j %j', async (paths, options, why) => {
  expect(await run(paths, options)).toMatchObject({ out: '', code: 2, why: expect.stringContaining(why) });
});
