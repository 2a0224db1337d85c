import type { Bus } from '@skbus/bus';
import { pb, subjects } from '@skbus/contracts';
import type { WireFrame, WireLink } from './drivers/wire.ts';

/** One port of a cable: a subject of its own to publish on, all the others' to listen to. */
export function wireLink(bus: Bus, cable: string, port: number): WireLink {
  const own = subjects.wire(cable, port.toString(16));
  return {
    send: (frames) => bus.publish(own, pb.FrameList.encode({ port, frames }).finish()),
    onFrames: async (take) => {
      const off = bus.subscribe(subjects.wire(cable, '*'), (message, from) => {
        const frames = from === own ? undefined : decode(message);
        if (frames !== undefined) take(frames);
      });
      await bus.flush();
      return () => {
        off();
        return Promise.resolve();
      };
    },
  };
}

/** `undefined`: no FrameList; whoever sent that is no port of this cable. */
function decode(message: Uint8Array): WireFrame[] | undefined {
  try {
    return pb.FrameList.decode(message).frames.map((f) => ({
      data: f.data ?? EMPTY,
      gsoSize: f.gsoSize ?? 0,
      gsoType: f.gsoType ?? 0,
      csumStart: f.csumStart ?? 0,
      csumOffset: f.csumOffset ?? 0,
    }));
  } catch {
    return undefined;
  }
}

const EMPTY = new Uint8Array(0);
