import {
  CHECKSUM_NONE,
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  FaultCases,
  type LayerFaults,
  type Millis,
  type SkBuff,
} from '@skbus/skb';

/** What a rule can have a device do wrong. */
export class DeviceFaults {
  readonly faults: LayerFaults;
  /** Transmit checksums that the device promised, and sends as it was given them. */
  readonly unfinished = new FaultCases();
  private readonly noCarrier: FaultCases;

  constructor(carriersChanged: (now: Millis) => void) {
    this.noCarrier = new FaultCases(carriersChanged);
    this.faults = {
      'carrier-off': { begin: this.noCarrier.begin },
      'tx-csum-unfinished': { begin: this.unfinished.begin },
      // skb_checksum is not asked again (include/linux/skbuff.h: "CHECKSUM_UNNECESSARY")
      'rx-csum-lies': { hit: (_c, skb) => void (skb.ipSummed = CHECKSUM_UNNECESSARY) },
    };
  }

  carrierOff(name: string): boolean {
    return this.noCarrier.list.some((c) => c.dev === undefined || c.dev === name);
  }

  /** In the field stays the sum of the pseudo-header (skb_checksum_start_offset() and on was never summed). */
  leaveUnfinished(skb: SkBuff, now: Millis): void {
    if (skb.ipSummed === CHECKSUM_PARTIAL && this.unfinished.on?.takes(now, skb) === true) skb.ipSummed = CHECKSUM_NONE;
  }
}
