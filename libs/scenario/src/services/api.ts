/** The control API of a stack that runs; who calls knows how to reach it. */
export interface StackApi {
  get<T>(path: string): Promise<T>;
  send<T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<T>;
}

export interface StatusView {
  state: string;
  backend: string;
  sock: string;
  address: string;
  peer: string;
  peerNetns: string;
  kernelIfname: string;
  services: {
    name: string;
    state: string;
    pid?: number;
    restarts?: number;
    ledger?: { dropped: Record<string, number> };
  }[];
}

export interface RuleView {
  id: string;
  hits: number;
}
