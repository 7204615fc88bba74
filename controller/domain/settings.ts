/** What an operator can set of the rules. */

export interface Settings {
  /** Milliseconds for which an address is not chosen again after it was given back; 0: it is free at once. */
  readonly quarantineMs: number;
  /** Milliseconds for which it is remembered who held an address; 0: nothing is. */
  readonly historyMs: number;
  /** Most endpoints of one network, and of one host; those being removed count. */
  readonly endpointsPerNetwork: number;
  readonly endpointsPerHost: number;
}

export const DEFAULT_SETTINGS: Settings = {
  quarantineMs: 30_000,
  historyMs: 24 * 60 * 60 * 1_000,
  endpointsPerNetwork: 65_536,
  endpointsPerHost: 4_096,
};

/** Holders of addresses that are remembered, where nothing else is set. */
export const DEFAULT_HISTORY_RECORDS = 100_000;
