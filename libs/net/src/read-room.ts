import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net';

/** Node's own way is to set aside 64 KiB for each read and to give most of it back. */
const SLAB_BYTES = 16 * 1024;
const BUSY_SLAB_BYTES = 64 * 1024;
const ROOM_BYTES_MIN = 4 * 1024;

/** Memory for what is read, each byte of it used once: what is kept of it stays as it is. */
class ReadRoom {
  private slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  private at = 0;
  private busy = false;

  readonly get = (): Uint8Array => {
    if (this.slab.length - this.at < ROOM_BYTES_MIN) {
      this.slab = Buffer.allocUnsafeSlow(this.busy ? BUSY_SLAB_BYTES : SLAB_BYTES);
      this.at = 0;
      this.busy = false;
    }
    return this.slab.subarray(this.at);
  };

  take(n: number): Buffer {
    const from = this.at;
    this.at += n;
    if (this.at === this.slab.length) this.busy = true;
    return this.slab.subarray(from, this.at);
  }
}

/** `onread` of a socket that reads into such memory. */
export function readInto(heard: (chunk: Buffer) => void): OnReadOpts {
  const room = new ReadRoom();
  return {
    buffer: room.get,
    callback: (n) => {
      heard(room.take(n));
      return true;
    },
  };
}

/**
 * A connection that a server has accepted (with pauseOnConnect), read in the same way: Node takes `onread` only where a socket
 * is made, and of those that a server makes nobody is asked. So its handle goes to another socket; the first stays
 * what the server counts. Undocumented, and without it the connection is read as usual, which costs 4 us per read.
 */
export function rereadInto(accepted: Socket, heard: (chunk: Buffer) => void): Socket {
  const first = accepted as unknown as { _handle?: object | null };
  const handle = first._handle;
  if (handle === undefined || handle === null) return accepted.on('data', heard);
  first._handle = null;
  const socket = new Socket({ handle, onread: readInto(heard) } as SocketConstructorOpts);
  socket.once('close', () => accepted.destroy());
  return socket;
}
