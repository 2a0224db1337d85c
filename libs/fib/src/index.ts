export { Devinet, type InetIfAddr, inetIfaMatch, isUp } from './devinet.ts';
export { Fib } from './fib.ts';
export { FibFrontend } from './fib-frontend.ts';
export { FibInfo, type FibNexthop } from './fib-info.ts';
export { ANY_SCOPE, defaultScope, type FibProps, fibProps } from './fib-props.ts';
export { type FibAlias, type FibFlow, type FibResult, FibTable, type InsertMode } from './fib-table.ts';
export { FibTrie, TrieNode } from './fib-trie.ts';
