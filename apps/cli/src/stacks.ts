import { isIP } from 'node:net';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { composeStacks, tokenOf, type ComposeStack } from './compose/stacks.ts';
import { CliError } from './errors.ts';
import { runRoot } from './folders.ts';
import { isAlive } from './process-mark.ts';

/** What `stack.json` of a run folder says; written by the orchestrator. */
export interface StackFile {
  stack: string;
  orchestrator: { pid: number; startTicks: string };
  api: string;
  /** '' where it asks for no token, or has no certificate of its own. */
  apiTokenFile: string;
  apiCaFile: string;
  nats: string;
  backend: string;
  peerNetns: string;
  kernelIfname: string;
  address: string;
  socksPort: number;
  partOf: string;
}

export interface FoundStack extends StackFile {
  runDir: string;
  running: boolean;
}

/** Stacks that run, or were killed and left something. */
export function listStacks(): FoundStack[] {
  let names: string[];
  try {
    names = readdirSync(runRoot());
  } catch {
    return [];
  }
  return names.toSorted().flatMap((name) => readStack(join(runRoot(), name)) ?? []);
}

export function readStack(runDir: string): FoundStack | undefined {
  try {
    const f = JSON.parse(readFileSync(join(runDir, 'stack.json'), 'utf8')) as StackFile;
    return { ...f, runDir, running: isAlive(f.orchestrator) };
  } catch {
    return undefined;
  }
}

/** The stack that is meant: --stack, SKBUS_STACK, else the one that runs (of a pair on one wire, the first). */
export function findStack(wanted: string | undefined): FoundStack {
  const name = wanted ?? (process.env.SKBUS_STACK || undefined);
  const all = listStacks();
  const running = all.filter((s) => s.running);
  const killed = all.find((s) => !s.running && (name === undefined || s.stack === name));
  if (killed && running.every((s) => s.stack !== name)) {
    if (name !== undefined || running.length === 0) {
      throw new CliError(
        `the orchestrator of stack ${killed.stack} was killed; "skbus down" removes what it has left, "skbus up" starts anew`,
      );
    }
  }
  if (name !== undefined) {
    const hit = running.find((s) => s.stack === name);
    if (hit) return hit;
    throw new CliError(`stack ${name} is not running; start it with "skbus up -d --stack ${name}"`);
  }
  if (running.length === 0) throw new CliError('no stack is running; start one with "npm start" or "skbus up -d"');
  const own = running.filter((s) => s.partOf === '');
  if (own.length === 1) return own[0]!;
  throw new CliError(`several stacks run (${running.map((s) => s.stack).join(', ')}); choose one with --stack`);
}

/** As findStack(); where no process of this machine is meant, the stack in containers. SKBUS_COMPOSE=1: only that. */
export function findAnywhere(wanted: string | undefined): FoundStack | ComposeStack {
  const only = process.env.SKBUS_COMPOSE === '1';
  const name = wanted ?? (process.env.SKBUS_STACK || undefined);
  const here = (): boolean => listStacks().some((s) => s.running && (name === undefined || s.stack === name));
  if (!only && here()) return findStack(wanted);
  const found = composeStacks().filter((s) => name === undefined || s.stack === name);
  if (found.length === 1) return found[0]!;
  if (found.length > 1)
    throw new CliError(
      `several stacks run in containers (${found.map((s) => s.stack).join(', ')}); choose one with --stack`,
    );
  if (!only) return findStack(wanted);
  const which = name === undefined ? '' : ` --stack ${name}`;
  throw new CliError(
    `no stack${name === undefined ? '' : ` ${name}`} runs in containers; start one with "skbus up --compose -d${which}"`,
  );
}

/** What --api or SKBUS_API names, when it is no stack of this machine. */
export function apiElsewhere(): string | undefined {
  const url = process.env.SKBUS_API;
  if (!url || listStacks().some((s) => s.api === url) || composeStacks().some((s) => s.api === url)) return undefined;
  return url;
}

/** Where a control API is, and what it takes to speak to it. */
export interface ApiAccess {
  url: string;
  token: string | undefined;
  ca: string | undefined;
}

/** Of the stack that is meant; SKBUS_API, SKBUS_TOKEN or SKBUS_TOKEN_FILE, and SKBUS_CA override. */
export function apiAccess(stack: string | undefined): ApiAccess {
  const { SKBUS_API: url, SKBUS_TOKEN: word, SKBUS_TOKEN_FILE: tokenFile, SKBUS_CA: ca } = process.env;
  const given = word || (tokenFile ? readSecret('token', tokenFile) : undefined);
  if (url) {
    if (!/^https?:\/\/[^/]/.test(url))
      throw new CliError(`--api (SKBUS_API): ${url} is no URL such as https://10.0.0.5:7070`, 2);
    const access = {
      url,
      token: given,
      ca: ca ? readSecret('certificate', ca) : undefined,
    };
    if (access.token !== undefined && url.startsWith('http:') && !isLoopback(new URL(url).hostname))
      throw new CliError(`${url} would carry the token in the clear: use https`);
    return access;
  }
  const s = findAnywhere(stack);
  if ('container' in s) return { url: s.api, token: tokenOf(s), ca: undefined };
  return {
    url: s.api,
    token: s.apiTokenFile ? readSecret('token', s.apiTokenFile) : given,
    ca: s.apiCaFile ? readSecret('certificate', s.apiCaFile) : undefined,
  };
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));

function readSecret(what: 'token' | 'certificate', file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (e) {
    throw new CliError(`cannot read the ${what} of the control API: ${(e as Error).message}`);
  }
  if (what === 'token' ? /^[\x21-\x7e]+$/.test(text) : text.includes('BEGIN CERTIFICATE')) return text;
  throw new CliError(`${file} holds no ${what}${what === 'token' ? ': that is one word' : ' (PEM)'}`);
}
