import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { BOOT_TABLE, replayFor } from '@skbus/boot';
import { LAYERS } from '@skbus/contracts';
import { freePort } from '../support/nats-server.ts';
import { root } from '../support/projects.ts';
import { eventually, run, installed, type Result, type ServiceStatus } from '../support/stack.ts';

// The orchestrator and its CLI alone: processes that do nothing but answer their initcalls stand in for the layers.

const CLI = join(root, 'tools/skbus.mjs');
const suite = installed('nats-server') ? describe : describe.skip;
let dir: string;
let ports: string[];

/** What a layer is here; `SKBUS_LOG_LEVEL=fatal` makes tun_init fail. */
function indexJs(layer: string): string {
  const names = BOOT_TABLE.filter((e) => e.owner === layer).map((e) => e.name);
  const kit = pathToFileURL(join(root, 'libs/nest-kit/dist/index.js')).href;
  const nest = pathToFileURL(join(root, 'node_modules/@nestjs/common/index.js')).href;
  return `
import { Inject, Injectable } from ${JSON.stringify(nest)};
import { Initcall, LAYER_KIT } from ${JSON.stringify(kit)};
class Fake {
  constructor(kit) { this.kit = kit; }
  onModuleInit() { this.kit.bind(this, { pollTimeout: () => Infinity, handleTimeout() {} }); }
  run(call) {
    call.printk(\`${layer} did \${call.name}\${call.replay ? ' again' : ''}\`);
    if (call.name === 'tun_init' && process.env.SKBUS_LOG_LEVEL === 'fatal') return { errno: 16, message: 'the device is busy' };
  }
}
Injectable()(Fake);
Inject(LAYER_KIT)(Fake, undefined, 0);
Initcall(...${JSON.stringify(names)})(Fake.prototype, 'run', undefined);
export const definition = { layer: ${JSON.stringify(layer)}, providers: [Fake], controllers: [] };
`;
}

const mainJs = `
import { runLayer } from ${JSON.stringify(pathToFileURL(join(root, 'libs/nest-kit/dist/index.js')).href)};
import { definition } from './index.js';
await runLayer(definition);
`;

const env = (): Record<string, string> => ({
  SKBUS_RUN_ROOT: join(dir, 'run'),
  SKBUS_APPS_DIR: join(dir, 'apps'),
  SKBUS_DEMO: 'off',
  SKBUS_STACK: '',
  SKBUS_API: '',
});

function skbus(args: readonly string[], more: Record<string, string> = {}): Promise<Result> {
  return run(process.execPath, [CLI, ...args], { env: { ...env(), ...more }, timeoutMs: 60_000 });
}

const up = (stack: string, more: string[] = [], vars: Record<string, string> = {}): Promise<Result> =>
  skbus(
    [
      'up',
      '-d',
      '--stack',
      stack,
      '--nic',
      'udp',
      '--udp-local',
      '127.0.0.1:1',
      '--udp-peer',
      '127.0.0.1:2',
      '--api-port',
      ports[0]!,
      '--socks-port',
      '0',
      ...more,
    ],
    vars,
  );

async function services(stack: string): Promise<ServiceStatus[]> {
  return (JSON.parse((await skbus(['status', '--stack', stack, '--json'])).stdout) as { services: ServiceStatus[] })
    .services;
}

interface StackFile {
  orchestrator: { pid: number };
  processes: Record<string, { pid: number }>;
}
const stackFile = (stack: string): StackFile =>
  JSON.parse(readFileSync(join(dir, 'run', stack, 'stack.json'), 'utf8')) as StackFile;
const isGone = (pid: number): boolean =>
  !existsSync(`/proc/${pid}/stat`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

/** The pid of a spare that is ready, and is none of those before. */
async function spareOf(stack: string, not?: number): Promise<number> {
  let pid = 0;
  await eventually('a spare is ready', async () => {
    const spare = (await services(stack)).find((s) => s.name === 'spare');
    pid = spare?.pid ?? 0;
    return spare?.state === 'ready' && pid !== not;
  });
  return pid;
}

const running = (stack: string, layer: string, restarts: number): Promise<void> =>
  eventually(`${layer} runs again`, async () => {
    const s = (await services(stack)).find((x) => x.name === layer)!;
    return s.state === 'running' && s.restarts === restarts;
  });

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'skbus-sup-'));
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
  for (const layer of LAYERS) {
    mkdirSync(join(dir, 'apps', layer, 'dist'), { recursive: true });
    writeFileSync(join(dir, 'apps', layer, 'dist/index.js'), indexJs(layer));
    writeFileSync(join(dir, 'apps', layer, 'dist/main.js'), mainJs);
  }
  ports = [String(await freePort()), String(await freePort())];
});
afterAll(async () => {
  await skbus(['down', '--all']);
  rmSync(dir, { recursive: true, force: true });
}, 30_000);

suite('processes', () => {
  test('boot, restart and replay, shutdown without a trace', async () => {
    expect(await up('s1')).toMatchObject({ code: 0, stdout: '' });
    const all = await services('s1');
    expect(all.map((s) => s.name).filter((n) => n !== 'spare')).toEqual([...LAYERS, 'nats']);
    expect(new Set(all.map((s) => s.pid)).size).toBe(all.length);

    const ip = all.find((s) => s.name === 'ip')!;
    process.kill(ip.pid, 'SIGKILL');
    await eventually('ip runs again', async () => {
      const now = (await services('s1')).find((s) => s.name === 'ip')!;
      return now.state === 'running' && now.restarts === 1 && now.pid !== ip.pid;
    });
    const log = (await skbus(['dmesg', '--stack', 's1'])).stdout.split('\n').map((l) => l.replace(/^\[.{12}\] /, ''));
    expect(log.filter((l) => l.endsWith(' again'))).toEqual(
      replayFor('ip').map((e) => `${e.owner} did ${e.name} again`),
    );
    expect(log).toContain('skbus: ip: killed by SIGKILL, restart 1');

    const nats = all.find((s) => s.name === 'nats')!;
    process.kill(nats.pid, 'SIGKILL');
    await eventually('nats-server is back and known', async () => {
      const now = (await services('s1')).find((s) => s.name === 'nats')!;
      return now.pid !== nats.pid && now.restarts === 1 && stackFile('s1').processes.nats?.pid === now.pid;
    });

    const { processes, orchestrator } = stackFile('s1');
    expect(await skbus(['down', '--stack', 's1'])).toMatchObject({ code: 0 });
    for (const { pid } of [orchestrator, ...Object.values(processes)]) expect(isGone(pid)).toBe(true);
    expect(existsSync(join(dir, 'run/s1/stack.json'))).toBe(false);
  }, 60_000);

  test('a spare process becomes the layer that dies; two at once, and none at all', async () => {
    expect((await up('s7')).code).toBe(0);
    const spare = await spareOf('s7');
    // It has tried the broker, too, and with credentials.
    expect(readFileSync(join(dir, 'run', 's7', 'nats.log'), 'utf8')).not.toContain('[ERR]');
    const ip = stackFile('s7').processes.ip!.pid;
    process.kill(ip, 'SIGKILL');
    await eventually('the spare is ip', () => stackFile('s7').processes.ip?.pid === spare);
    await running('s7', 'ip', 1);
    expect(readFileSync(`/proc/${spare}/cmdline`, 'latin1')).toMatch(/^skbus-ip\[s7\]/);

    // Two die together: one gets the spare, the other a start of its own.
    await spareOf('s7', spare);
    for (const layer of ['tcp', 'udp']) process.kill(stackFile('s7').processes[layer]!.pid, 'SIGKILL');
    await running('s7', 'tcp', 1);
    await running('s7', 'udp', 1);
    // Again, before the next spare is there.
    process.kill(stackFile('s7').processes.ip!.pid, 'SIGKILL');
    await running('s7', 'ip', 2);

    const last = await spareOf('s7', spare);
    process.kill(last, 'SIGKILL');
    await spareOf('s7', last);
    process.kill(stackFile('s7').orchestrator.pid, 'SIGKILL');
    await eventually('a spare without an orchestrator ends', () => isGone(stackFile('s7').processes.spare!.pid));
    expect((await skbus(['down'])).code).toBe(0);

    expect((await up('s8', ['--no-spare'])).code).toBe(0);
    process.kill(stackFile('s8').processes.ip!.pid, 'SIGKILL');
    await running('s8', 'ip', 1);
    expect((await services('s8')).map((s) => s.name)).not.toContain('spare');
    expect((await skbus(['down'])).code).toBe(0);
  }, 120_000);

  test('upgrade puts a new process beside the old one and retires that; a layer that hangs is replaced', async () => {
    expect((await up('s9', ['--hang-kill', '3'])).code).toBe(0);
    const from = stackFile('s9').processes.ip!.pid;
    const r = JSON.parse((await skbus(['upgrade', 'ip', '--stack', 's9', '--json'])).stdout) as Record<string, number>;
    expect(r).toMatchObject({ layer: 'ip', from, to: stackFile('s9').processes.ip!.pid });
    expect(r.to).not.toBe(from);
    expect(isGone(from)).toBe(true);
    await running('s9', 'ip', 0);

    // A build that does not start changes nothing.
    const index = join(dir, 'apps/udp/dist/index.js');
    writeFileSync(index, 'throw new Error("no luck today");');
    const failed = await skbus(['upgrade', 'udp', '--stack', 's9']);
    writeFileSync(index, indexJs('udp'));
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toMatch(/^skbus: udp: the new process ended with exit code 1; its logs are /);
    await running('s9', 'udp', 0);

    const hung = stackFile('s9').processes.neigh!.pid;
    process.kill(hung, 'SIGSTOP');
    await running('s9', 'neigh', 1);
    expect((await skbus(['dmesg', '--stack', 's9'])).stdout).toContain('skbus: neigh: no answer for 3 s, killing it');
    expect((await skbus(['down'])).code).toBe(0);
  }, 120_000);

  test('a second one is refused, a port in use is named', async () => {
    expect((await up('s2')).code).toBe(0);
    const again = await up('s2');
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(
      /^skbus: stack s2 is already running \(pid \d+\); stop it with "skbus down --stack s2"/,
    );
    const other = await up('s3');
    expect(other).toMatchObject({
      code: 1,
      stderr: `skbus: port ${ports[0]} on 127.0.0.1 is in use; choose another one with --api-port\n`,
    });
    expect((await services('s2')).every((s) => s.name === 'spare' || s.state === 'running')).toBe(true);
    expect((await skbus(['down'])).code).toBe(0);
  }, 60_000);

  test('what a killed orchestrator leaves goes with down', async () => {
    expect((await up('s4')).code).toBe(0);
    const { orchestrator, processes: all } = stackFile('s4');
    // The spare has no use without one.
    const processes = Object.fromEntries(Object.entries(all).filter(([name]) => name !== 'spare'));
    process.kill(orchestrator.pid, 'SIGKILL');
    await eventually('the orchestrator is gone', () => isGone(orchestrator.pid));
    // The data path does not need it.
    for (const { pid } of Object.values(processes)) expect(isGone(pid)).toBe(false);
    expect((await skbus(['status'])).stderr).toContain(
      'the orchestrator of stack s4 was killed; "skbus down" removes what it has left',
    );
    // A new start sweeps and says so.
    const again = await up('s4');
    expect(again).toMatchObject({ code: 0 });
    expect(again.stderr).toMatch(/removed what an earlier run left: .*process ip \(pid \d+\)/);
    for (const { pid } of Object.values(processes)) expect(isGone(pid)).toBe(true);

    const second = stackFile('s4');
    process.kill(second.orchestrator.pid, 'SIGKILL');
    await eventually('the second one is gone, too', () => isGone(second.orchestrator.pid));
    expect((await skbus(['down'])).code).toBe(0);
    for (const { pid } of Object.values(second.processes)) expect(isGone(pid)).toBe(true);
  }, 60_000);

  test('an initcall that fails: which one, why, exit code 1, nothing left', async () => {
    const r = await up('s5', [], { SKBUS_LOG_LEVEL: 'fatal' });
    expect(r.code).toBe(1);
    expect(r.stderr).toMatch(
      /^skbus: boot stopped: tun_init of the nic service failed with EBUSY: the device is busy; its log is .*nic\.log\n$/,
    );
    expect(existsSync(join(dir, 'run/s5/stack.json'))).toBe(false);
  }, 60_000);

  test('a layer that cannot start is named with its last words', async () => {
    const main = join(dir, 'apps/udp/dist/main.js');
    writeFileSync(main, 'throw new Error("no luck today");');
    const r = await up('s6');
    writeFileSync(main, mainJs);
    expect(r.code).toBe(1);
    expect(r.stderr).toMatch(
      /the udp service does not start: udp ended \d+ times \(exit code 1\); its log ends with: .*no luck today/,
    );
  }, 60_000);
});
