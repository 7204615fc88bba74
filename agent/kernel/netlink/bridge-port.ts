/** What a bridge does at one of its ports. Messages as `bridge link` sends them. */
import type { Attributes } from './attribute.js';
import { writeIfinfomsg } from './ifinfomsg.js';
import type { Request } from './message.js';

const RTM_SETLINK = 19;
const AF_BRIDGE = 7;
const IFLA_PROTINFO = 12;

/** IFLA_BRPORT_..., each one byte. */
const FLAGS = {
  learning: 8,
  flood: 9,
  mcastFlood: 27,
  bcastFlood: 30,
  neighSuppress: 32,
  locked: 39,
} as const satisfies Record<keyof BridgePort, number>;

/** A port's flags; `bridge`'s names in camel case. */
export interface BridgePort {
  /** Source MACs of what comes in become forwarding entries. */
  readonly learning: boolean;
  /** Frames to an unknown unicast MAC go out here. */
  readonly flood: boolean;
  readonly mcastFlood: boolean;
  readonly bcastFlood: boolean;
  /** ARP requests and neighbour solicitations are answered from the bridge's neighbours, not sent here. */
  readonly neighSuppress: boolean;
  /** Frames from a MAC without a forwarding entry at this port are dropped. */
  readonly locked: boolean;
}

/** Sets flags of a bridge's port; absent ones stay. Equivalent to `bridge link set dev X learning on|off flood on|off ...`. The kernel: EOPNOTSUPP when the link is no port. */
export function bridgePortSet(index: number, flags: Partial<BridgePort>): Request {
  return {
    operation: `bridge link set ${String(index)}`,
    type: RTM_SETLINK,
    flags: 0,
    write: (out) => {
      writeIfinfomsg(out, { family: AF_BRIDGE, index });
      out.nested(IFLA_PROTINFO, () => {
        for (const [flag, type] of Object.entries(FLAGS) as [keyof BridgePort, number][]) {
          const value = flags[flag];
          if (value !== undefined) out.u8(type, value ? 1 : 0);
        }
      });
    },
  };
}

/** The flags in a port's attributes; one the kernel does not know is off. */
export function decodeBridgePort(data: Attributes | undefined): BridgePort {
  const on = (flag: keyof BridgePort): boolean => data?.u8(FLAGS[flag]) === 1;
  return {
    learning: on('learning'),
    flood: on('flood'),
    mcastFlood: on('mcastFlood'),
    bcastFlood: on('bcastFlood'),
    neighSuppress: on('neighSuppress'),
    locked: on('locked'),
  };
}
