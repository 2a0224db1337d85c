import { maskOf, type Ipv4Addr } from '@skbus/skb';

/** A prefix in the trie. Nodes without a value only join two branches. */
export class TrieNode<T> {
  readonly key: Ipv4Addr;
  readonly len: number;
  value: T | undefined;
  parent: TrieNode<T> | undefined = undefined;
  zero: TrieNode<T> | undefined = undefined;
  one: TrieNode<T> | undefined = undefined;

  constructor(key: Ipv4Addr, len: number, value: T | undefined) {
    this.key = key;
    this.len = len;
    this.value = value;
  }

  /** The next shorter prefix that has a value: the backtrack step of a lookup. */
  shorter(): TrieNode<T> | undefined {
    let n = this.parent;
    while (n !== undefined && n.value === undefined) n = n.parent;
    return n;
  }
}

/**
 * Longest-prefix match over IPv4 prefixes: a path-compressed binary trie. A lookup walks down to the deepest prefix that
 * covers the address and backtracks through `shorter()` when that one does not suit the flow (wrong TOS, wrong scope),
 * which are the steps 1 and 2 of net/ipv4/fib_trie.c:fib_table_lookup.
 */
export class FibTrie<T> {
  private root: TrieNode<T> | undefined = undefined;
  private count = 0;

  /** Prefixes with a value. */
  get size(): number {
    return this.count;
  }

  /** The longest prefix that covers `addr`. */
  match(addr: Ipv4Addr): TrieNode<T> | undefined {
    let best: TrieNode<T> | undefined;
    let n = this.root;
    while (n !== undefined && covers(n, addr)) {
      if (n.value !== undefined) best = n;
      if (n.len === 32) break;
      n = bitAt(addr, n.len) ? n.one : n.zero;
    }
    return best;
  }

  /** The value of exactly this prefix. */
  get(key: Ipv4Addr, len: number): T | undefined {
    let n = this.root;
    while (n !== undefined && n.len <= len && covers(n, key)) {
      if (n.len === len) return n.value;
      n = bitAt(key, n.len) ? n.one : n.zero;
    }
    return undefined;
  }

  /** Sets the value of a prefix; `key` has no bits beyond `len`. */
  set(key: Ipv4Addr, len: number, value: T): void {
    let parent: TrieNode<T> | undefined;
    let n = this.root;
    while (n !== undefined && n.len < len && covers(n, key)) {
      parent = n;
      n = bitAt(key, n.len) ? n.one : n.zero;
    }
    if (n !== undefined && n.len === len && n.key === key) {
      if (n.value === undefined) this.count++;
      n.value = value;
      return;
    }
    this.count++;
    const leaf = new TrieNode<T>(key, len, value);
    if (n === undefined) {
      this.attach(parent, leaf);
      return;
    }
    const common = Math.min(commonBits(n.key, key), n.len, len);
    if (common === len) {
      this.attach(parent, leaf);
      adopt(leaf, n);
      return;
    }
    const fork = new TrieNode<T>((key & maskOf(common)) >>> 0, common, undefined);
    this.attach(parent, fork);
    adopt(fork, n);
    adopt(fork, leaf);
  }

  delete(key: Ipv4Addr, len: number): boolean {
    let n = this.root;
    while (n !== undefined && n.len < len && covers(n, key)) n = bitAt(key, n.len) ? n.one : n.zero;
    if (n === undefined || n.len !== len || n.key !== key || n.value === undefined) return false;
    n.value = undefined;
    this.count--;
    this.prune(n);
    return true;
  }

  /** Every prefix as the kernel dumps them: by address, of equal addresses the longest first. */
  entries(): TrieNode<T>[] {
    const all: TrieNode<T>[] = [];
    const stack: TrieNode<T>[] = this.root === undefined ? [] : [this.root];
    for (let n = stack.pop(); n !== undefined; n = stack.pop()) {
      if (n.value !== undefined) all.push(n);
      if (n.one !== undefined) stack.push(n.one);
      if (n.zero !== undefined) stack.push(n.zero);
    }
    return all.sort((a, b) => a.key - b.key || b.len - a.len);
  }

  private attach(parent: TrieNode<T> | undefined, child: TrieNode<T>): void {
    if (parent === undefined) {
      this.root = child;
      child.parent = undefined;
    } else adopt(parent, child);
  }

  /** Removes nodes that neither hold a value nor join two branches any more. */
  private prune(from: TrieNode<T>): void {
    let n: TrieNode<T> | undefined = from;
    while (n !== undefined && n.value === undefined && (n.zero === undefined || n.one === undefined)) {
      const child: TrieNode<T> | undefined = n.zero ?? n.one;
      const parent: TrieNode<T> | undefined = n.parent;
      if (child !== undefined) {
        this.attach(parent, child);
        return;
      }
      if (parent === undefined) this.root = undefined;
      else if (parent.zero === n) parent.zero = undefined;
      else parent.one = undefined;
      n = parent;
    }
  }
}

function adopt<T>(parent: TrieNode<T>, child: TrieNode<T>): void {
  if (bitAt(child.key, parent.len)) parent.one = child;
  else parent.zero = child;
  child.parent = parent;
}

const bitAt = (addr: number, at: number): boolean => ((addr >>> (31 - at)) & 1) === 1;
const commonBits = (a: number, b: number): number => Math.clz32(a ^ b);
const covers = (n: { key: number; len: number }, addr: number): boolean => ((n.key ^ addr) & maskOf(n.len)) === 0;
