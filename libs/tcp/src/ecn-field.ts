/** The ECN field of IP's TOS byte (RFC 3168 5). */
export const INET_ECN_MASK = 3;
export const INET_ECN_NOT_ECT = 0;
export const INET_ECN_ECT_0 = 2;
export const INET_ECN_CE = 3;

/** Of `ecnFlags` (ecn.ts): the peer's data does carry ECT. */
export const ECN_SEEN = 8;
