import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/** What must be undone however the run ends; newest first. */
export class Cleanup {
  /** @type {(() => unknown)[]} */
  #undo = [];
  /** @type {Promise<void> | undefined} */
  #running;

  /** @param {() => unknown} undo @returns {() => void} forgets it */
  add(undo) {
    this.#undo.push(undo);
    // Interrupted, and still something new was started: it goes as well.
    if (this.#running) this.#running = this.#running.then(() => this.#all());
    return () => {
      const i = this.#undo.indexOf(undo);
      if (i >= 0) this.#undo.splice(i, 1);
    };
  }

  run() {
    this.#running ??= this.#all();
    return this.#running;
  }

  /** Somebody wants to leave: nothing new should begin. */
  get started() {
    return this.#running !== undefined;
  }

  async #all() {
    for (let undo = this.#undo.pop(); undo; undo = this.#undo.pop()) {
      try {
        await undo();
      } catch (e) {
        process.stderr.write(`bench: while cleaning up: ${e instanceof Error ? e.message : String(e)}\n`);
      }
    }
  }
}

export class CommandError extends Error {
  name = 'CommandError';
}

/**
 * Runs a command to its end, bounded in time.
 * @param {string[]} argv @param {{ timeoutMs?: number, okCodes?: number[] }} [opts]
 * @returns {Promise<string>} what it printed
 */
export function run(argv, { timeoutMs = 5_000, okCodes = [0] } = {}) {
  const [file = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    execFile(
      file,
      args,
      { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 16 << 20 },
      (error, stdout, stderr) => {
        const code = error ? error.code : 0;
        if (typeof code === 'number' && okCodes.includes(code)) resolve(stdout);
        else if (error?.code === 'ENOENT') reject(new CommandError(`${file} is not installed`));
        else {
          const why = error?.killed
            ? `not done after ${timeoutMs} ms`
            : (stderr.trim() || stdout.trim() || String(error?.message)).slice(-300);
          reject(new CommandError(`${argv.join(' ')}: ${why}`));
        }
      },
    );
  });
}

/**
 * Starts a process that stays, and waits for a line that says it is ready.
 * @param {string[]} argv @param {RegExp} ready matched against stdout and stderr @param {Cleanup} cleanup
 * @returns {Promise<{ child: ChildProcess, match: RegExpMatchArray, stop: () => Promise<void> }>}
 */
export function start(argv, ready, cleanup) {
  const [file = '', ...args] = argv;
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const forget = cleanup.add(() => stop());
  const stop = async () => {
    forget();
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const gone = new Promise((resolve) => void child.once('exit', resolve));
    child.kill('SIGTERM');
    const hard = setTimeout(() => child.kill('SIGKILL'), 1_000);
    await gone;
    clearTimeout(hard);
  };
  return new Promise((resolve, reject) => {
    let log = '';
    const late = setTimeout(() => fail(`not ready after 5 s: ${log.trim()}`), 5_000);
    const fail = (/** @type {string} */ why) => {
      clearTimeout(late);
      void stop();
      reject(new CommandError(`${argv.join(' ')}: ${why}`));
    };
    const read = (/** @type {Buffer} */ d) => {
      log += d.toString();
      const match = ready.exec(log);
      if (!match) return;
      clearTimeout(late);
      child.stdout?.off('data', read).resume();
      child.stderr?.off('data', read).resume();
      resolve({ child, match, stop });
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('error', (e) => fail(e.message));
    child.once('exit', (code) => fail(`ended with ${code}: ${log.trim()}`));
  });
}

/** The CPUs this process may use, as taskset writes them. */
export function allowedCpus() {
  return /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
}

/**
 * Moves processes, all their threads, to CPUs.
 * @param {Iterable<number>} pids @param {string} cpus
 */
export async function pin(pids, cpus) {
  // A thread may end between the listing and the call: taskset then says so with 1, and nothing is wrong.
  for (const pid of pids) await run(['taskset', '-a', '-c', '-p', cpus, String(pid)], { okCodes: [0, 1] });
}

/** @param {number} pid @returns {number} resident bytes; 0 when it is gone */
export function rssOf(pid) {
  try {
    return Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
