// The ends of the bare broker's path. Prints one line of JSON.
//
//   source.mjs URL rtt FIRST LAST BYTES MS           one message in flight, from FIRST to LAST
//   source.mjs URL bulk FIRST ACK BYTES MS WINDOW    as many as the window holds; ACK tells of each that arrived
import { connect } from '@nats-io/transport-node';
import { percentile } from '../lib/stats.mjs';

/** Round trips before the first that counts: code on the way gets compiled. */
const WARM_UP = 5_000;
const [url, mode, first = '', last = '', bytes = '0', ms = '0', window = '1'] = process.argv.slice(2);
const nc = await connect({ servers: url, noEcho: true });
const payload = new Uint8Array(Number(bytes)).fill(0x5a);
const result = mode === 'rtt' ? await rtt(Number(ms)) : await bulk(Number(ms), Number(window));
process.stdout.write(`${JSON.stringify(result)}\n`);
await nc.close();

/** @param {number} ms */
function rtt(ms) {
  return new Promise((resolve) => {
    /** @type {number[]} */
    const us = [];
    let sent = 0n;
    let count = -WARM_UP;
    let until = 0;
    const ping = () => {
      sent = process.hrtime.bigint();
      nc.publish(first, payload);
    };
    nc.subscribe(last, {
      callback: () => {
        const took = Number(process.hrtime.bigint() - sent) / 1e3;
        count++;
        if (count === 0) until = performance.now() + ms;
        else if (count > 0) us.push(took);
        if (until > 0 && performance.now() >= until) {
          us.sort((a, b) => a - b);
          resolve({ count: us.length, p50Us: percentile(us, 0.5), p99Us: percentile(us, 0.99) });
        } else ping();
      },
    });
    void nc.flush().then(ping);
  });
}

/** @param {number} ms @param {number} window */
function bulk(ms, window) {
  return new Promise((resolve) => {
    let inFlight = 0;
    let arrived = 0;
    let counting = false;
    let started = 0;
    const fill = () => {
      for (; inFlight < window; inFlight++) nc.publish(first, payload);
    };
    nc.subscribe(last, {
      callback: () => {
        inFlight--;
        const now = performance.now();
        if (!counting && now - started >= ms / 5) {
          counting = true;
          started = now;
        } else if (counting) {
          arrived++;
          if (now - started >= ms) {
            resolve({ count: arrived, bitsPerSecond: (arrived * payload.length * 8) / ((now - started) / 1e3) });
            return;
          }
        }
        fill();
      },
    });
    void nc.flush().then(() => {
      started = performance.now();
      fill();
    });
  });
}
