import { createConnection, type Socket } from 'node:net';
import {
  NatsConnectionImpl,
  setTransportFactory,
  type ConnectionOptions,
  type NatsConnection,
} from '@nats-io/transport-node';
import { NodeTransport, nodeResolveHost } from '@nats-io/transport-node/lib/node_transport.js';
import { FrameReader, FrameWriter, type Taker } from './nats-frames.ts';

/**
 * A short way for the messages of the data plane. The NATS client keeps the connection (address, TLS, credentials,
 * subscriptions, heartbeats, reconnecting); what it does per message (an allocation of 64 KiB per read, an asynchronous
 * generator, a string and a concatenation per write) costs more than a layer's own work on a packet, and one round trip has
 * nine of them. So messages of the lane's subscriptions are taken out of the stream where the bytes come in, within the
 * socket's callback, and what is published is written beside the client, in whole frames.
 *
 * Whatever is not plain TCP (TLS) goes the client's way alone, and so does what is published while there is no connection.
 */
export class NatsLane {
  private readonly takers = new Map<number, Taker>();
  private writer: FrameWriter | undefined;
  private socket: Socket | undefined;
  private due = false;

  reader(others: (bytes: Uint8Array) => void): FrameReader {
    return new FrameReader(this.takers, others);
  }

  /** From now on the subscription's messages come this way. */
  take(sid: number, taker: Taker): void {
    this.takers.set(sid, taker);
  }

  drop(sid: number): void {
    this.takers.delete(sid);
  }

  /** False: there is no lane now, or not for a message of that size; the client knows what to say to it. */
  publish(subject: string, data: Uint8Array): boolean {
    const { writer } = this;
    if (writer === undefined || this.socket!.destroyed) return false;
    if (data.length > BYTES_MAX) {
      this.flush();
      return false;
    }
    writer.publish(subject, data);
    if (!this.due) {
      this.due = true;
      void RESOLVED.then(this.flush);
    }
    return true;
  }

  readonly flush = (): void => {
    this.due = false;
    if (this.writer !== undefined && !this.socket!.destroyed) this.writer.flush();
  };

  attach(socket: Socket): void {
    this.socket = socket;
    this.writer = new FrameWriter(socket);
    this.due = false;
  }
}

const RESOLVED = Promise.resolve();

/** What every NATS server takes (max_payload), unless it is told otherwise. */
const BYTES_MAX = 1_048_576;

/** `connect()` of the client. The factory is the client's only one, for each connection and each time that it reconnects. */
export function connectNats(options: ConnectionOptions & { lane?: NatsLane }): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new LaneTransport(), dnsResolveFn: nodeResolveHost });
  return NatsConnectionImpl.connect(options);
}

class LaneTransport extends NodeTransport {
  private lane: NatsLane | undefined;

  override connect(
    hp: { hostname: string; port: number; tlsName: string },
    options: ConnectionOptions & { lane?: NatsLane },
  ): Promise<void> {
    this.lane = options.lane;
    return super.connect(hp, options);
  }

  override dial(hp: { hostname: string; port: number }): Promise<Socket> {
    const { lane } = this;
    if (lane === undefined) return super.dial(hp);
    return new Promise((resolve, reject) => {
      const reader = lane.reader((bytes) => socket.emit('data', Buffer.from(bytes)));
      const onread = {
        buffer: () => reader.room(),
        callback: (n: number) => {
          reader.filled(n);
          return true;
        },
      };
      const socket = createConnection({ host: hp.hostname, port: hp.port, noDelay: true, onread });
      let reason: Error | undefined;
      socket.once('error', (e) => (reason = e));
      socket.once('close', () => reject(reason ?? new Error('the broker closed the connection')));
      socket.once('connect', () => {
        socket.removeAllListeners();
        resolve(socket);
      });
    });
  }

  /** The first that the client sends is who it is; from there on others may speak, too. */
  override send(frame: Uint8Array): void {
    super.send(frame);
    if (this.lane === undefined) return;
    if (!this.isEncrypted()) this.lane.attach(this.socket);
    this.lane = undefined;
  }
}
