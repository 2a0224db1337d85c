import { once } from 'node:events';
import { Socket, type ConnectOpts } from 'node:net';
import { Worker } from 'node:worker_threads';
import type { Features, RxMeta } from '@skbus/dev';
import type { SkBuff, Tracepoint } from '@skbus/skb';
import type { DriverEnv, NicConfig, NicDriver, RxSink } from './driver.ts';
import { FRAME_MAX, FrameRing } from './frame-ring.ts';
import { EAGAIN, EFD_CLOEXEC, EINTR, errno, eventfdSignal, pipe, sys } from '@skbus/libc';
import type { ReaderData, ReaderMessage } from './tap-reader.ts';
import { VNET_HDR_LEN } from './tun.ts';
import { Uplink } from './uplink.ts';
import { readVnetHdr, writeVnetHdr } from './vnet-hdr.ts';

const RX_RING_BYTES = 8 * 1024 * 1024;
/** Frames handed up before the event loop gets a turn. */
const RX_BUDGET = 64;
/** Frames that wait while the kernel takes no more. */
const TX_RING_MAX = 256;
const TX_RETRY_MS = 1;

const PLAIN: RxMeta = { csum: 'none' };

/** The worker is its own file; a test runs this one from source and the worker from the build. */
const readerUrl = import.meta.url.endsWith('.ts')
  ? new URL('../../dist/drivers/tap-reader.js', import.meta.url)
  : new URL('./tap-reader.js', import.meta.url);

/** A TAP device: the cable's other end is the kernel (drivers/net/tun.c). */
export class TapDriver implements NicDriver {
  readonly ndoStartXmit: Tracepoint = 'tun_net_xmit';
  features: Features = { csum: false, tso: false };
  private readonly config: NicConfig;
  private readonly env: DriverEnv;
  private readonly ring = new FrameRing(RX_RING_BYTES);
  private readonly txBuf = new Uint8Array(FRAME_MAX);
  private readonly txRing: Uint8Array[] = [];
  private txRetry: NodeJS.Timeout | undefined = undefined;
  private worker: Worker | undefined = undefined;
  private ended: Promise<void> = Promise.resolve();
  private sink: RxSink | undefined = undefined;
  private uplink: Uplink | undefined = undefined;
  private stopFd = -1;
  /** The reader's bell: a pipe costs a third of a message between threads. */
  private told: Socket | undefined = undefined;
  private toldFd = -1;
  private fd = -1;
  private hdrLen = 0;
  private readonly stats = { rx_bursts: 0, tx_eagain: 0, tx_ring_full: 0, tx_errors: 0 };
  private readonly onExit = (): void => this.signalStop();

  constructor(config: NicConfig, env: DriverEnv) {
    this.config = config;
    this.env = env;
  }

  async start(sink: RxSink): Promise<void> {
    this.sink = sink;
    this.stopFd = sys.eventfd(0, EFD_CLOEXEC);
    if (this.stopFd < 0) throw new Error(`eventfd: errno ${errno()}`);
    const bell = pipe();
    this.toldFd = bell.writeFd;
    const ear = { fd: bell.readFd, readable: true, writable: false, ...this.onTold };
    this.told = new Socket(ear);
    const { kernelIfname: ifname, netnsPath, offload, tapFd: keptFd } = this.config;
    const workerData: ReaderData = {
      tap: { ifname, netnsPath, offload, keptFd },
      ring: this.ring.shared,
      stopFd: this.stopFd,
      toldFd: this.toldFd,
    };
    const worker = new Worker(readerUrl, { workerData, name: `tap-reader ${ifname}` });
    this.worker = worker;
    this.ended = new Promise((done) => worker.once('exit', () => done()));
    const opened = await firstMessage(worker);
    if (opened.kind !== 'open') {
      await this.stop();
      throw new Error(opened.kind === 'failed' ? opened.reason : 'the TAP reader did not start');
    }
    this.fd = opened.fd;
    this.hdrLen = opened.vnetHdr ? VNET_HDR_LEN : 0;
    this.features = { csum: opened.csum, tso: opened.tso };
    for (const line of opened.notes) this.env.printk(line);
    if (this.config.uplink !== undefined) {
      this.uplink = new Uplink(ifname, this.config.uplink, (line) => this.env.printk(line));
      this.uplink.start();
    }
    worker.on('message', (m: ReaderMessage) => this.onMessage(m));
    worker.on('error', (e: Error) => this.fail(`the TAP reader failed: ${e.message}`));
    // A thread asleep in poll() would keep the process from ending.
    process.on('exit', this.onExit);
    // What came meanwhile; after the caller has registered the device.
    setImmediate(this.rx);
  }

  /** ndo_start_xmit: one gathered, non-blocking write. */
  xmit(skb: SkBuff): boolean {
    if (this.txRing.length > 0) return this.enqueue(this.gather(skb));
    const n = this.gather(skb);
    return this.write(this.txBuf, n) || this.enqueue(n);
  }

  flush(): void {
    while (this.txRing.length > 0) {
      const frame = this.txRing[0]!;
      if (!this.write(frame, frame.length)) return;
      this.txRing.shift();
    }
  }

  get inRing(): number {
    return this.txRing.length;
  }

  async stop(): Promise<void> {
    process.off('exit', this.onExit);
    clearTimeout(this.txRetry);
    this.uplink?.stop();
    this.fd = -1;
    const { worker } = this;
    this.worker = undefined;
    if (worker !== undefined) {
      this.signalStop();
      await this.ended;
    }
    for (const fd of [this.stopFd, this.toldFd]) if (fd >= 0) sys.close(fd);
    this.stopFd = this.toldFd = -1;
    this.told?.destroy();
  }

  counters(): Record<string, number> {
    return { ...this.stats, tx_queued: this.txRing.length };
  }

  private signalStop(): void {
    this.ring.stop();
    if (this.stopFd >= 0) eventfdSignal(this.stopFd);
  }

  private onMessage(m: ReaderMessage): void {
    if (m.kind === 'failed') this.fail(m.reason);
  }

  private fail(reason: string): void {
    if (this.worker === undefined) return;
    this.fd = -1;
    this.env.fatal(reason);
  }

  /** Hands up what the ring holds, at most RX_BUDGET frames before others get their turn. */
  private readonly rx = (): void => {
    if (this.worker === undefined || this.sink === undefined) return;
    this.ring.hush();
    let frames = 0;
    for (; frames < RX_BUDGET; frames++) {
      const r = this.ring.next();
      if (r === undefined) break;
      if (r.n < this.hdrLen) continue;
      const meta = this.hdrLen > 0 ? readVnetHdr(this.ring.bytes, r.at) : PLAIN;
      this.sink.frame(this.ring.bytes.subarray(r.at + this.hdrLen, r.at + r.n), meta);
    }
    if (frames === 0) return;
    this.stats.rx_bursts++;
    this.sink.done();
    this.ring.release();
    if (frames === RX_BUDGET) setImmediate(this.rx);
  };

  private readonly onTold: ConnectOpts = {
    onread: {
      buffer: new Uint8Array(16),
      callback: (): boolean => {
        this.rx();
        return true;
      },
    },
  };

  /** The frame and its virtio header in txBuf; their length. */
  private gather(skb: SkBuff): number {
    const b = this.txBuf;
    if (this.hdrLen > 0) writeVnetHdr(skb, this.features.tso, b, 0);
    let at = this.hdrLen;
    if (at + skb.len > b.length) return 0;
    b.set(skb.buf.subarray(skb.data, skb.tail), at);
    at += skb.tail - skb.data;
    for (const f of skb.frags) {
      b.set(f, at);
      at += f.length;
    }
    return at;
  }

  /** False: try again later. A frame that the device refuses is counted and gone, as on a cable without a peer. */
  private write(b: Uint8Array, n: number): boolean {
    for (;;) {
      if (sys.write(this.fd, b, n) >= 0) return true;
      const code = errno();
      if (code === EINTR) continue;
      if (code === EAGAIN) {
        this.stats.tx_eagain++;
        return false;
      }
      this.stats.tx_errors++;
      return true;
    }
  }

  private enqueue(n: number): boolean {
    if (this.txRing.length >= TX_RING_MAX) {
      this.stats.tx_ring_full++;
      return false;
    }
    this.txRing.push(this.txBuf.slice(0, n));
    this.txRetry ??= setTimeout(this.retry, TX_RETRY_MS);
    return true;
  }

  private readonly retry = (): void => {
    this.txRetry = undefined;
    this.flush();
    this.sink?.sent();
    if (this.txRing.length > 0) this.txRetry = setTimeout(this.retry, TX_RETRY_MS);
  };
}

async function firstMessage(worker: Worker): Promise<ReaderMessage> {
  try {
    const [m] = (await once(worker, 'message')) as [ReaderMessage];
    return m;
  } catch (e) {
    return { kind: 'failed', reason: `the TAP reader did not start: ${e instanceof Error ? e.message : String(e)}` };
  }
}
