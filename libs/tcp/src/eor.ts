/** Where records end that were not sent yet (TCP_SKB_CB(skb)->eor of the write queue): positions, ascending. */
export class RecordEnds {
  private readonly ends: number[] = [];

  add(end: number): void {
    this.ends.push(end);
  }

  /** The first one behind `seq`; those before it are sent and forgotten. */
  after(seq: number): number | undefined {
    const { ends } = this;
    while (ends.length > 0 && ends[0]! <= seq) ends.shift();
    return ends[0];
  }

  /** Nothing may be added to what ends here (tcp_skb_can_collapse_to). */
  isAt(seq: number): boolean {
    return this.ends.at(-1) === seq;
  }
}
