/**
 * Partitions, as nft scripts for the machine that holds the underlay's bridge: a set of pairs of its ports, between
 * which every frame is dropped. The hosts' own rules, which are what is tested, are not touched. Pure.
 */
import { portOf } from './underlay.js';

/** Names of two nodes. */
export type Pair = readonly [one: string, other: string];

const TABLE = 'lab_faults';
const SET = 'cut';

/** Makes what is not there, in one transaction with what follows. */
const MAKE = [
  `add table bridge ${TABLE}`,
  `add set bridge ${TABLE} ${SET} { type ifname . ifname; }`,
  `add chain bridge ${TABLE} forward { type filter hook forward priority -300; policy accept; }`,
  `flush chain bridge ${TABLE} forward`,
  `add rule bridge ${TABLE} forward meta iifname . meta oifname @${SET} drop`,
];

export function cutScript(pair: Pair): string {
  return script(add(pair));
}

/** An element that is added and deleted in one transaction may have been there or not. */
export function healScript(pair: Pair): string {
  return script(add(pair), `delete element bridge ${TABLE} ${SET} ${elements(pair)}`);
}

export function healAllScript(): string {
  return script(`flush set bridge ${TABLE} ${SET}`);
}

/** The pairs in what `nft --json list sets bridge` prints, each once. `order`: the names in the order they are told in. */
export function parseCuts(json: string, order: readonly string[]): Pair[] {
  const { nftables } = JSON.parse(json) as {
    nftables: { set?: { table: string; name: string; elem?: { concat: [string, string] }[] } }[];
  };
  const sets = nftables.flatMap(({ set }) => (set?.table === TABLE && set.name === SET ? [set] : []));
  const cut = new Set(sets.flatMap(({ elem = [] }) => elem.map(({ concat }) => concat.join(' '))));
  return order.flatMap((one, index) =>
    order
      .slice(index + 1)
      .filter((other) => cut.has(`${portOf(one)} ${portOf(other)}`))
      .map((other): Pair => [one, other]),
  );
}

const add = (pair: Pair): string => `add element bridge ${TABLE} ${SET} ${elements(pair)}`;

function elements([one, other]: Pair): string {
  const [a, b] = [JSON.stringify(portOf(one)), JSON.stringify(portOf(other))];
  return `{ ${a} . ${b}, ${b} . ${a} }`;
}

function script(...lines: readonly string[]): string {
  return `${[...MAKE, ...lines].join('\n')}\n`;
}
