/** A cluster of many hosts with a hundred endpoints each, in networks of every width. Pure. */

/** A sort of network: `networks` of them for each 1,000 hosts, each with its endpoints dealt out over `span` hosts. */
export interface Kind {
  readonly name: 'everywhere' | 'wide' | 'middle' | 'narrow';
  readonly networks: number;
  /** Undefined: as many as there are hosts. */
  readonly endpoints: number | undefined;
  /** Undefined: every host. */
  readonly span: number | undefined;
}

/** Of 1,000 hosts: 100,000 endpoints in 2,171 networks. */
export const KINDS: readonly Kind[] = [
  { name: 'everywhere', networks: 1, endpoints: undefined, span: undefined },
  { name: 'wide', networks: 20, endpoints: 1_000, span: 200 },
  { name: 'middle', networks: 200, endpoints: 200, span: 40 },
  { name: 'narrow', networks: 1_950, endpoints: 20, span: 8 },
];

export interface ShapedNetwork {
  readonly kind: Kind['name'];
  /** Of each endpoint, the number of its host: 0 to hosts - 1. */
  readonly hosts: readonly number[];
}

/** Numbers from 0 up to 1, the same for the same seed (Mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The networks of a cluster of so many hosts, at least 200. Hosts come to a network by chance, and to equally many. */
export function shapeOf(hosts: number, random: () => number): readonly ShapedNetwork[] {
  return KINDS.flatMap(({ name, networks, endpoints = hosts, span = hosts }) => {
    const count = name === 'everywhere' ? networks : Math.round((networks * hosts) / 1_000);
    let deck: number[] = [];
    return Array.from({ length: count }, () => {
      if (deck.length < span) deck = replenished(deck, shuffled(hosts, random));
      const chosen = deck.splice(0, span);
      return { kind: name, hosts: Array.from({ length: endpoints }, (_, at) => chosen[at % chosen.length] ?? 0) };
    });
  });
}

/** What is left of a deck, then all others; what was left comes again at the end, so that everybody's turn comes as often. */
function replenished(left: readonly number[], fresh: readonly number[]): number[] {
  return [...left, ...fresh.filter((host) => !left.includes(host)), ...left];
}

function shuffled(count: number, random: () => number): number[] {
  const numbers = Array.from({ length: count }, (_, index) => index);
  for (let at = count - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    [numbers[at], numbers[other]] = [numbers[other] ?? 0, numbers[at] ?? 0];
  }
  return numbers;
}
