/**
 * Who asks for a sandbox at the same bridge: nothing is flooded here, and the bridge answers for remote endpoints only
 * (a port with neigh_suppress is itself never answered). So an ARP request or a neighbour solicitation for a local
 * sandbox is sent straight to that sandbox's MAC, which a map of addresses gives. As nft text, because nft 1.0.6 has no
 * `icmpv6 taddr`, and its JSON no map by a raw part of the packet; all of it is rendered from parsed addresses.
 */
import { familyOf, ipFromBytes, ipToBytes, parseIp, type IpAddress } from '../../core/address.js';
import { parseMac, type Mac } from '../../core/mac.js';
import { NftablesError, type Nftables, type NftObject } from '../kernel/nftables.js';
import type { Drop, Put, RowResult, Table } from './table.js';

const FAMILY = 'bridge';
const NAME = 'weft';
/** Stands in the comment of each rule; another text is another version's rule. */
const RULES_MARK = 'weft local resolution 1';
/** The key of the rules among the rows, whose other keys are addresses. */
export const RULES_KEY = 'rules';
/** What stands for the rules' value: they have no MAC. */
export const RULES_VALUE = '00:00:00:00:00:00' as Mac;

const RULES = [
  'iifname "vxlan0" accept',
  'arp operation request ether daddr set arp daddr ip map @local4',
  'icmpv6 type nd-neighbor-solicit ether daddr set @nh,384,128 map @local6',
] as const;

/** By address; and the rules that use the map, as one row. */
export class LocalResolutionTable implements Table<Mac> {
  readonly #nft: () => Nftables;

  /** @param nft opens nftables in the namespace when first needed, and returns the same one afterwards */
  constructor(nft: () => Nftables) {
    this.#nft = nft;
  }

  list(): Map<string, Mac> {
    const rows = new Map<string, Mac>();
    const objects = this.#nft().list(FAMILY, NAME) ?? [];
    const rules = objects.flatMap((object) => commentOf(object) ?? []);
    const isMade = rules.length === RULES.length && rules.every((comment) => comment === RULES_MARK);
    if (!isMade) return rows;
    rows.set(RULES_KEY, RULES_VALUE);
    for (const [ip, mac] of objects.flatMap(elementsOf)) rows.set(ip, mac);
    return rows;
  }

  same(a: Mac, b: Mac): boolean {
    return a === b;
  }

  /** One transaction for all rows, so all share its outcome. */
  put(rows: readonly Put<Mac>[]): RowResult[] {
    const addresses = rows.flatMap(({ key, value, before }) => {
      const ip = parseIp(key);
      return ip === undefined ? [] : [{ ip, mac: value, before }];
    });
    // Other rules than these, or half of them: everything anew. The elements that stay are put again with the rest.
    const anew = rows.some(({ key }) => key === RULES_KEY);
    const replaced = anew ? [] : addresses.filter(({ before }) => before !== undefined);
    return this.#transact(rows.length, [
      ...(anew ? renderRules() : []),
      ...replaced.map(({ ip }) => `delete element ${FAMILY} ${NAME} ${mapOf(ip)} { ${elementKey(ip)} }`),
      ...renderElements(addresses),
    ]);
  }

  drop(rows: readonly Drop<Mac>[]): RowResult[] {
    if (rows.some(({ key }) => key === RULES_KEY)) {
      return this.#transact(rows.length, [`add table ${FAMILY} ${NAME}`, `delete table ${FAMILY} ${NAME}`]);
    }
    // Were one of them gone already, nft would do nothing of the rest either; the next pass lists first and does it.
    const addresses = rows.flatMap(({ key }) => parseIp(key) ?? []);
    return this.#transact(
      rows.length,
      addresses.map((ip) => `delete element ${FAMILY} ${NAME} ${mapOf(ip)} { ${elementKey(ip)} }`),
    );
  }

  #transact(count: number, lines: readonly string[]): RowResult[] {
    let result: RowResult;
    try {
      if (lines.length > 0) this.#nft().runText(`${lines.join('\n')}\n`);
    } catch (error) {
      if (!(error instanceof NftablesError)) throw error;
      result = error;
    }
    return new Array<RowResult>(count).fill(result);
  }
}

/** The rows in nft's language: what `put` runs for them where nothing is there yet. Pure. */
export function renderLocalResolution(rows: ReadonlyMap<string, Mac>): string[] {
  const addresses = [...rows].flatMap(([key, mac]) => {
    const ip = parseIp(key);
    return ip === undefined ? [] : [{ ip, mac }];
  });
  return [...(rows.has(RULES_KEY) ? renderRules() : []), ...renderElements(addresses)];
}

/** The rules in nft's language, as a transaction that takes the place of whatever the table held. */
function renderRules(): string[] {
  return [
    `add table ${FAMILY} ${NAME}`,
    `delete table ${FAMILY} ${NAME}`,
    `table ${FAMILY} ${NAME} {`,
    '  map local4 { type ipv4_addr : ether_addr; }',
    '  map local6 { typeof @nh,384,128 : ether daddr; }',
    '  chain local-resolution {',
    '    type filter hook prerouting priority -300; policy accept;',
    ...RULES.map((rule) => `    ${rule} comment "${RULES_MARK}"`),
    '  }',
    '}',
  ];
}

function renderElements(addresses: readonly { readonly ip: IpAddress; readonly mac: Mac }[]): string[] {
  return (['local4', 'local6'] as const).flatMap((map) => {
    const elements = addresses.filter(({ ip }) => mapOf(ip) === map).map(({ ip, mac }) => `${elementKey(ip)} : ${mac}`);
    return elements.length === 0 ? [] : [`add element ${FAMILY} ${NAME} ${map} { ${elements.join(', ')} }`];
  });
}

function mapOf(ip: IpAddress): 'local4' | 'local6' {
  return familyOf(ip) === 4 ? 'local4' : 'local6';
}

/** As the map wants it: an IPv4 address as such, an IPv6 one as the number that stands in the packet. */
function elementKey(ip: IpAddress): string {
  return familyOf(ip) === 4 ? ip : `0x${ipToBytes(ip).toString('hex')}`;
}

function commentOf(object: NftObject): string | undefined {
  const rule = object['rule'] as { readonly comment?: string } | undefined;
  return rule === undefined ? undefined : (rule.comment ?? '');
}

function elementsOf(object: NftObject): [IpAddress, Mac][] {
  const map = object['map'] as { readonly elem?: readonly (readonly [unknown, unknown])[] } | undefined;
  return (map?.elem ?? []).flatMap(([key, value]) => {
    const ip = parseElementKey(key);
    const mac = parseMac(String(value));
    return ip === undefined || mac === undefined ? [] : [[ip, mac] as [IpAddress, Mac]];
  });
}

function parseElementKey(key: unknown): IpAddress | undefined {
  const text = String(key);
  const hex = /^0x([0-9a-f]{1,32})$/.exec(text)?.[1];
  return hex === undefined ? parseIp(text) : ipFromBytes(Buffer.from(hex.padStart(32, '0'), 'hex'));
}
